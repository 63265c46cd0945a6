//! The documents as they are written: one declaration a map, from which reading, the list of known keys and
//! the place of every value follow. Nothing is judged here but shape and unknown keys.

use super::problem::{At, Sink, nearest};
use super::tree::{Entry, Node, Value};

/// Something that can be read from a node.
pub(crate) trait Raw: Sized {
    /// Reads it; a wrong shape is reported and gives nothing.
    fn read(node: &Node, at: At, sink: &mut Sink) -> Option<Self>;
}

/// The value of a key.
#[derive(Debug)]
pub(crate) enum Field<T> {
    /// The key is not there.
    Absent,
    /// It is there and was reported already.
    Bad,
    /// It is there.
    Good(T),
}

impl<T> Field<T> {
    pub(crate) fn get(&self) -> Option<&T> {
        match self {
            Self::Good(value) => Some(value),
            Self::Absent | Self::Bad => None,
        }
    }

    /// The value of a key that must be there; that it is missing is reported at the map it is missing from.
    pub(crate) fn required(&self, parent: &At, key: &str, hint: &str, sink: &mut Sink) -> Option<&T> {
        match self {
            Self::Good(value) => Some(value),
            Self::Bad => None,
            Self::Absent => {
                sink.add(&parent.child(key), "is missing", hint);
                None
            }
        }
    }

    pub(crate) fn is_absent(&self) -> bool {
        matches!(self, Self::Absent)
    }
}

/// One value with its place.
#[derive(Clone, Debug)]
pub(crate) struct Scalar {
    pub(crate) at: At,
    pub(crate) text: String,
    pub(crate) plain: bool,
}

impl Raw for Scalar {
    fn read(node: &Node, at: At, sink: &mut Sink) -> Option<Self> {
        match &node.value {
            Value::Scalar { text, plain } => Some(Self { at, text: text.clone(), plain: *plain }),
            Value::Null => {
                sink.add(&at, "has no value", "give it one or remove the key");
                None
            }
            Value::List(_) => {
                sink.add(&at, "is a list where one value belongs", "");
                None
            }
            Value::Map(_) => {
                sink.add(
                    &at,
                    "is a map where one value belongs",
                    "text in braces needs quotes, like `\"{target}\"`",
                );
                None
            }
        }
    }
}

/// A node as it stands: what is somebody else's to judge.
#[derive(Debug)]
pub(crate) struct Any {
    pub(crate) at: At,
    pub(crate) node: Node,
}

impl Raw for Any {
    fn read(node: &Node, at: At, _: &mut Sink) -> Option<Self> {
        Some(Self { at, node: node.clone() })
    }
}

/// A list with its place.
#[derive(Debug)]
pub(crate) struct List<T> {
    pub(crate) at: At,
    pub(crate) items: Vec<T>,
}

impl<T: Raw> Raw for List<T> {
    fn read(node: &Node, at: At, sink: &mut Sink) -> Option<Self> {
        let nodes: &[Node] = match &node.value {
            Value::List(nodes) => nodes,
            Value::Null => &[],
            Value::Scalar { .. } | Value::Map(_) => {
                sink.add(&at, "must be a list", "start each item on a line of its own with `- `");
                return None;
            }
        };
        let item = |(index, node): (usize, &Node)| {
            let path = format!("{}[{index}]", at.path);
            T::read(node, At { line: node.line, column: node.column, path }, sink)
        };
        let items = nodes.iter().enumerate().filter_map(item).collect();
        Some(Self { at, items })
    }
}

/// A map whose keys are the owner's own names.
#[derive(Debug)]
pub(crate) struct Named<T> {
    pub(crate) items: Vec<(Scalar, T)>,
}

impl<T: Raw> Raw for Named<T> {
    fn read(node: &Node, at: At, sink: &mut Sink) -> Option<Self> {
        let mut items = Vec::new();
        for entry in entries(node, &at, sink)? {
            let place = place(entry, &at);
            let name = Scalar { at: place.clone(), text: entry.key.clone(), plain: entry.plain };
            if let Some(value) = T::read(&entry.node, place, sink) {
                items.push((name, value));
            }
        }
        Some(Self { items })
    }
}

/// The entries of a map; nothing at all is a map without entries.
pub(crate) fn entries<'a>(node: &'a Node, at: &At, sink: &mut Sink) -> Option<&'a [Entry]> {
    match &node.value {
        Value::Map(entries) => Some(entries),
        Value::Null => Some(&[]),
        Value::Scalar { .. } | Value::List(_) => {
            sink.add(at, "must be a map", "write `key: value` lines below it, indented");
            None
        }
    }
}

/// Where an entry stands.
pub(crate) fn place(entry: &Entry, parent: &At) -> At {
    let child = parent.child(&entry.key);
    At { line: entry.line, column: entry.column, path: child.path }
}

/// A map of which the keys are read one by one, perhaps by several readers.
#[derive(Debug)]
pub(crate) struct Map<'a> {
    pub(crate) at: At,
    pub(crate) entries: &'a [Entry],
    /// Known keys that a misspelt one probably meant: they are not missing, since that was said already.
    meant: Vec<&'static str>,
}

impl<'a> Map<'a> {
    pub(crate) fn of(node: &'a Node, at: At, sink: &mut Sink) -> Option<Self> {
        Some(Self { entries: entries(node, &at, sink)?, at, meant: Vec::new() })
    }

    /// A map without entries.
    pub(crate) fn empty() -> Self {
        Self { at: At::default(), entries: &[], meant: Vec::new() }
    }

    /// Reports the keys that are not known.
    pub(crate) fn refuse_unknown(&mut self, known: &[&'static str], sink: &mut Sink) {
        self.refuse_but(known, |_| None, sink);
    }

    /// Reports the keys that are not known, with better words for those that belong `elsewhere`.
    pub(crate) fn refuse_but(
        &mut self,
        known: &[&'static str],
        elsewhere: impl Fn(&str) -> Option<String>,
        sink: &mut Sink,
    ) {
        for entry in self.entries.iter().filter(|entry| !known.contains(&entry.key.as_str())) {
            if let Some(message) = elsewhere(&entry.key) {
                sink.add(&place(entry, &self.at), message, "remove it");
                continue;
            }
            let meant = nearest(&entry.key, known.iter().copied());
            let hint =
                meant.map_or_else(|| hint_for(&entry.key, known), |meant| format!("did you mean `{meant}`?"));
            sink.add(&place(entry, &self.at), "is not a known key", hint);
            let meant = meant.and_then(|meant| known.iter().copied().find(|known| *known == meant));
            self.meant.extend(meant);
        }
    }

    /// Reads the value of one key.
    pub(crate) fn field<T: Raw>(&self, key: &str, sink: &mut Sink) -> Field<T> {
        match self.entries.iter().find(|entry| entry.key == key) {
            None if self.meant.contains(&key) => Field::Bad,
            None => Field::Absent,
            Some(entry) => T::read(&entry.node, place(entry, &self.at), sink).map_or(Field::Bad, Field::Good),
        }
    }
}

fn hint_for(key: &str, known: &[&str]) -> String {
    match ELSEWHERE.iter().find(|(words, _)| words.contains(&key)) {
        Some((_, hint)) => (*hint).to_owned(),
        None => format!("known here: {}", known.join(", ")),
    }
}

/// Keys that people bring from elsewhere, or write into the wrong file.
const ELSEWHERE: [(&[&str], &str); 9] = [
    (
        &[
            "command",
            "commands",
            "exec",
            "args",
            "argv",
            "script",
            "list",
            "add",
            "remove",
            "workingDirectory",
            "env",
        ],
        "commands stand only in the daemon's file, under `platforms`; a document refers to them by name",
    ),
    (
        &["url", "endpoint", "endpoints", "address", "server", "serverAddress", "host", "prometheus"],
        "addresses stand only in the daemon's file, under `sources`; a document refers to them by name",
    ),
    (
        &[
            "token",
            "tokenFile",
            "password",
            "passwordFile",
            "username",
            "user",
            "secret",
            "secretRef",
            "caFile",
            "certFile",
            "keyFile",
            "tls",
            "credentials",
            "auth",
            "authenticationRef",
        ],
        "credentials stand only in the daemon's file; a document refers to them by name",
    ),
    (&["replicas", "size"], "the policies wish for a size, between `minReplicas` and `maxReplicas`"),
    (&["scaleTargetRef"], "here it is called `targetRef`"),
    (&["metrics", "triggers"], "write what to measure under `signals` and who decides under `policies`"),
    (&["minReplicaCount"], "here it is called `minReplicas`"),
    (&["maxReplicaCount"], "here it is called `maxReplicas`"),
    (&["status"], "the status is Plimsoll's own; remove it"),
];

/// Declares a map of a document: its fields, each with its key, and in documents that are objects of a cluster with its form.
macro_rules! raw {
    ($(#[$doc:meta])* struct $name:ident { $( $field:ident: $kind:ty = $key:literal => $form:expr, )* }) => {
        $crate::yaml::raw::raw! { $(#[$doc])* struct $name { $( $field: $kind = $key, )* } }

        impl $name {
            /// What may be written.
            pub(crate) fn form() -> $crate::yaml::form::Form {
                $crate::yaml::form::map([$( ($key, $form), )*])
            }
        }
    };
    ($(#[$doc:meta])* struct $name:ident { $( $field:ident: $kind:ty = $key:literal, )* }) => {
        $(#[$doc])*
        #[derive(Debug)]
        pub(super) struct $name {
            #[allow(dead_code, reason = "only maps in which something is required are pointed at")]
            pub(super) at: $crate::yaml::problem::At,
            $( pub(super) $field: $crate::yaml::raw::Field<$kind>, )*
        }

        impl $name {
            /// The keys that it has.
            pub(super) const KEYS: &[&str] = &[$($key),*];

            /// Its own keys of a map, whatever else is in there.
            pub(super) fn pick(
                map: &$crate::yaml::raw::Map<'_>,
                sink: &mut $crate::yaml::problem::Sink,
            ) -> Self {
                $( let $field = map.field($key, sink); )*
                Self { at: map.at.clone(), $( $field, )* }
            }
        }

        impl $crate::yaml::raw::Raw for $name {
            fn read(
                node: &$crate::yaml::tree::Node,
                at: $crate::yaml::problem::At,
                sink: &mut $crate::yaml::problem::Sink,
            ) -> Option<Self> {
                let mut map = $crate::yaml::raw::Map::of(node, at, sink)?;
                map.refuse_unknown(Self::KEYS, sink);
                Some(Self::pick(&map, sink))
            }
        }
    };
}
pub(crate) use raw;
