//! How much there is of what can be scaled, each in its own unit, and the way from one size to another.

use crate::fact::Fact;
use serde::{Deserialize, Serialize};

/// What can be scaled. Its word in a document says its unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum Dimension {
    /// How many members there are.
    #[serde(rename = "members")]
    Members,
    /// How many shards or partitions the data is cut into.
    #[serde(rename = "shards")]
    Shards,
    /// Processor time of each member, in thousandths of a core.
    #[serde(rename = "cpuMilli")]
    Cpu,
    /// Memory of each member, in bytes.
    #[serde(rename = "memoryBytes")]
    Memory,
    /// The volume of each member, in bytes.
    #[serde(rename = "volumeBytes")]
    Volume,
}

impl Dimension {
    /// Every dimension, in the order of documents.
    pub const ALL: [Self; 5] = [Self::Members, Self::Shards, Self::Cpu, Self::Memory, Self::Volume];

    /// The word in documents.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Members => "members",
            Self::Shards => "shards",
            Self::Cpu => "cpuMilli",
            Self::Memory => "memoryBytes",
            Self::Volume => "volumeBytes",
        }
    }

    /// All words, for people.
    #[must_use]
    pub fn words() -> String {
        Self::ALL.map(Self::word).join(", ")
    }

    /// The dimension with this word.
    #[must_use]
    pub fn named(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|dimension| dimension.word() == word)
    }
}

/// Sizes, one a dimension. What is absent stays as it is, or is not known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Sizes {
    /// How many members.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub members: Option<u32>,
    /// How many shards.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shards: Option<u32>,
    /// Thousandths of a core for each member.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpu_milli: Option<u64>,
    /// Bytes of memory for each member.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory_bytes: Option<u64>,
    /// Bytes of the volume of each member.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub volume_bytes: Option<u64>,
}

impl Sizes {
    /// So many members, and nothing else.
    #[must_use]
    pub fn of_members(members: u32) -> Self {
        Self::from(Some(members))
    }

    /// The size in one dimension.
    #[must_use]
    pub fn get(&self, dimension: Dimension) -> Option<u64> {
        match dimension {
            Dimension::Members => self.members.map(u64::from),
            Dimension::Shards => self.shards.map(u64::from),
            Dimension::Cpu => self.cpu_milli,
            Dimension::Memory => self.memory_bytes,
            Dimension::Volume => self.volume_bytes,
        }
    }

    /// The same with one size more. None where the size does not fit its dimension: there are at most 2³² − 1 members and
    /// as many shards.
    #[must_use]
    pub fn with(mut self, dimension: Dimension, size: u64) -> Option<Self> {
        match dimension {
            Dimension::Members => self.members = Some(u32::try_from(size).ok()?),
            Dimension::Shards => self.shards = Some(u32::try_from(size).ok()?),
            Dimension::Cpu => self.cpu_milli = Some(size),
            Dimension::Memory => self.memory_bytes = Some(size),
            Dimension::Volume => self.volume_bytes = Some(size),
        }
        Some(self)
    }

    /// What is there, in the order of documents.
    pub fn each(&self) -> impl Iterator<Item = (Dimension, u64)> + '_ {
        Dimension::ALL.into_iter().filter_map(|dimension| Some((dimension, self.get(dimension)?)))
    }

    /// Whether no size is there.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

impl From<Option<u32>> for Sizes {
    /// So many members, or nothing.
    fn from(members: Option<u32>) -> Self {
        Self { members, ..Self::default() }
    }
}

/// What is known of the sizes that there are, one a dimension; what is absent does not exist here.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Observed {
    /// How many members there are.
    pub members: Fact<u32>,
    /// How many shards there are.
    #[serde(default = "none::<u32>", skip_serializing_if = "is_none")]
    pub shards: Fact<u32>,
    /// Thousandths of a core that each member has.
    #[serde(default = "none::<u64>", skip_serializing_if = "is_none")]
    pub cpu_milli: Fact<u64>,
    /// Bytes of memory that each member has.
    #[serde(default = "none::<u64>", skip_serializing_if = "is_none")]
    pub memory_bytes: Fact<u64>,
    /// Bytes of the volume that each member has.
    #[serde(default = "none::<u64>", skip_serializing_if = "is_none")]
    pub volume_bytes: Fact<u64>,
}

fn none<T>() -> Fact<T> {
    Fact::NotApplicable
}

fn is_none<T>(fact: &Fact<T>) -> bool {
    matches!(fact, Fact::NotApplicable)
}

impl Observed {
    /// The number of members as somebody knows it, and nothing else.
    #[must_use]
    pub fn of_members(members: Fact<u32>) -> Self {
        Self { members, shards: none(), cpu_milli: none(), memory_bytes: none(), volume_bytes: none() }
    }

    /// The sizes that are known.
    #[must_use]
    pub fn known(&self) -> Sizes {
        Sizes {
            members: self.members.value().copied(),
            shards: self.shards.value().copied(),
            cpu_milli: self.cpu_milli.value().copied(),
            memory_bytes: self.memory_bytes.value().copied(),
            volume_bytes: self.volume_bytes.value().copied(),
        }
    }

    /// What is known of one dimension.
    #[must_use]
    pub fn get(&self, dimension: Dimension) -> Fact<u64> {
        match dimension {
            Dimension::Members => self.members.clone().map(u64::from),
            Dimension::Shards => self.shards.clone().map(u64::from),
            Dimension::Cpu => self.cpu_milli.clone(),
            Dimension::Memory => self.memory_bytes.clone(),
            Dimension::Volume => self.volume_bytes.clone(),
        }
    }
}

/// One of something a dimension; what is absent does not exist there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Each<T> {
    /// Of the number of members.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub members: Option<T>,
    /// Of the number of shards.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shards: Option<T>,
    /// Of each member's processor time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpu_milli: Option<T>,
    /// Of each member's memory.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory_bytes: Option<T>,
    /// Of each member's volume.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub volume_bytes: Option<T>,
}

impl<T> Default for Each<T> {
    fn default() -> Self {
        Self { members: None, shards: None, cpu_milli: None, memory_bytes: None, volume_bytes: None }
    }
}

impl<T> Each<T> {
    /// That of the number of members, and nothing else.
    #[must_use]
    pub fn of_members(members: T) -> Self {
        Self { members: Some(members), ..Self::default() }
    }

    /// That of one dimension.
    #[must_use]
    pub fn get(&self, dimension: Dimension) -> Option<&T> {
        match dimension {
            Dimension::Members => self.members.as_ref(),
            Dimension::Shards => self.shards.as_ref(),
            Dimension::Cpu => self.cpu_milli.as_ref(),
            Dimension::Memory => self.memory_bytes.as_ref(),
            Dimension::Volume => self.volume_bytes.as_ref(),
        }
    }

    /// The place of that of one dimension.
    pub fn place(&mut self, dimension: Dimension) -> &mut Option<T> {
        match dimension {
            Dimension::Members => &mut self.members,
            Dimension::Shards => &mut self.shards,
            Dimension::Cpu => &mut self.cpu_milli,
            Dimension::Memory => &mut self.memory_bytes,
            Dimension::Volume => &mut self.volume_bytes,
        }
    }

    /// What is there, in the order of documents.
    pub fn each(&self) -> impl Iterator<Item = (Dimension, &T)> + '_ {
        Dimension::ALL.into_iter().filter_map(|dimension| Some((dimension, self.get(dimension)?)))
    }
}

/// The least and the greatest size that an owner allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Bounds {
    /// The least.
    pub min: u64,
    /// The greatest.
    pub max: u64,
}

impl Bounds {
    /// Bounds of the number of members, and of nothing else.
    #[must_use]
    pub fn of_members(min: u32, max: u32) -> Each<Self> {
        Each::of_members(Self { min: u64::from(min), max: u64::from(max) })
    }
}

/// One leg of a plan: from one size to another in one dimension.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Leg {
    /// What changes.
    pub dimension: Dimension,
    /// The size before.
    pub from: u64,
    /// The size after.
    pub to: u64,
}

impl Leg {
    /// From so many members to so many.
    #[must_use]
    pub fn members(from: u32, to: u32) -> Self {
        Self { dimension: Dimension::Members, from: u64::from(from), to: u64::from(to) }
    }

    /// Members before and after; none where it is about something else.
    #[must_use]
    pub fn of_members(&self) -> Option<(u32, u32)> {
        let fits = |size: u64| u32::try_from(size).ok();
        (self.dimension == Dimension::Members).then(|| Some((fits(self.from)?, fits(self.to)?))).flatten()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dimension_has_one_word_everywhere() {
        for dimension in Dimension::ALL {
            let sizes = Sizes::default().with(dimension, 7).expect("it fits");
            let written = serde_json::to_string(&sizes).expect("JSON");
            assert_eq!(written, format!("{{\"{}\":7}}", dimension.word()));
            assert_eq!(serde_json::to_value(dimension).expect("JSON"), dimension.word());
            assert_eq!(sizes.each().collect::<Vec<_>>(), [(dimension, 7)]);
            assert_eq!(Dimension::named(dimension.word()), Some(dimension));
        }
    }

    #[test]
    fn what_is_no_dimension_is_refused_and_what_is_null_is_absent() {
        let read = serde_json::from_str::<Sizes>;
        let error = read(r#"{"replicas":5}"#).expect_err("no dimension").to_string();
        assert!(error.contains("unknown field `replicas`, expected one of `members`, `shards`"), "{error}");
        assert_eq!(read(r#"{"members":null}"#).expect("sizes"), Sizes::default());
        assert_eq!(Sizes::default().with(Dimension::Shards, u64::from(u32::MAX) + 1), None);
    }
}
