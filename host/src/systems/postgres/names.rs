//! `synchronous_standby_names`: who has to confirm a commit, read and written as the server does.

use std::fmt;

/// The longest setting that is read or written.
const MOST_BYTES: usize = 8192;

/// How the standbys that confirm are chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Method {
    /// The first of the list that are there.
    First,
    /// Any of the list.
    Any,
}

/// The standbys that may confirm a commit, and how many of them must.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct SyncSet {
    pub(super) method: Method,
    /// How many must confirm.
    pub(super) required: u32,
    /// The candidates, in order.
    pub(super) names: Vec<String>,
}

impl SyncSet {
    /// Reads the setting; none where nobody has to confirm.
    pub(super) fn parse(text: &str) -> Result<Option<Self>, String> {
        if text.len() > MOST_BYTES {
            return Err(format!("it has {} bytes, at most {MOST_BYTES} are read", text.len()));
        }
        let tokens = tokens(text)?;
        if tokens.is_empty() {
            return Ok(None);
        }
        let set = set(&tokens).ok_or_else(|| "it is not what PostgreSQL documents".to_owned())?;
        if set.names.iter().any(|name| name == "*") {
            return Err("`*` names every standby; name each one, so that one can be taken out".to_owned());
        }
        Ok(Some(set))
    }

    /// Whether a standby is a candidate. The server compares without regard to case.
    pub(super) fn has(&self, name: &str) -> bool {
        self.names.iter().any(|known| known.eq_ignore_ascii_case(name))
    }

    /// The same with one more candidate, after all others.
    pub(super) fn with(&self, name: &str) -> Self {
        let mut more = self.clone();
        if !more.has(name) {
            more.names.push(name.to_owned());
        }
        more
    }

    /// The same without a candidate; none where those that are left are fewer than must confirm.
    pub(super) fn without(&self, name: &str) -> Option<Self> {
        let mut fewer = self.clone();
        fewer.names.retain(|known| !known.eq_ignore_ascii_case(name));
        let left = u32::try_from(fewer.names.len()).unwrap_or(u32::MAX);
        (left >= self.required).then_some(fewer)
    }
}

impl fmt::Display for SyncSet {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let method = match self.method {
            Method::First => "FIRST",
            Method::Any => "ANY",
        };
        let names: Vec<String> = self.names.iter().map(|name| quoted(name)).collect();
        write!(formatter, "{method} {} ({})", self.required, names.join(", "))
    }
}

/// A name that cannot be taken for anything else.
fn quoted(name: &str) -> String {
    let first = name.chars().next().is_some_and(|char| char.is_ascii_lowercase() || char == '_');
    let plain = |char: char| char.is_ascii_lowercase() || char.is_ascii_digit() || char == '_';
    if first && name.chars().all(plain) && !["any", "first"].contains(&name) {
        name.to_owned()
    } else {
        format!("\"{}\"", name.replace('"', "\"\""))
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Token {
    Any,
    First,
    Number(u32),
    Name(String),
    Open,
    Close,
    Comma,
}

fn tokens(text: &str) -> Result<Vec<Token>, String> {
    let mut found = Vec::new();
    let mut rest = text.chars().peekable();
    while let Some(char) = rest.next() {
        let token = match char {
            ' ' | '\t' | '\n' | '\r' | '\u{b}' | '\u{c}' => continue,
            '(' => Token::Open,
            ')' => Token::Close,
            ',' => Token::Comma,
            '*' => Token::Name("*".to_owned()),
            '"' => Token::Name(until_quote(&mut rest)?),
            other if is_part(other) => {
                let mut word = other.to_string();
                while let Some(next) = rest.next_if(|next| is_part(*next)) {
                    word.push(next);
                }
                word_of(word)?
            }
            other => return Err(format!("it has {other:?} where a name is expected")),
        };
        found.push(token);
    }
    Ok(found)
}

fn until_quote(rest: &mut std::iter::Peekable<std::str::Chars>) -> Result<String, String> {
    let mut name = String::new();
    while let Some(char) = rest.next() {
        if char != '"' {
            name.push(char);
        } else if rest.next_if_eq(&'"').is_some() {
            name.push('"');
        } else {
            return Ok(name);
        }
    }
    Err("a quoted name has no end".to_owned())
}

fn is_part(char: char) -> bool {
    char.is_alphanumeric() || char == '_' || char == '$' || !char.is_ascii()
}

fn word_of(word: String) -> Result<Token, String> {
    if word.eq_ignore_ascii_case("any") {
        return Ok(Token::Any);
    }
    if word.eq_ignore_ascii_case("first") {
        return Ok(Token::First);
    }
    if word.starts_with(|char: char| char.is_ascii_digit()) {
        return word.parse().map(Token::Number).map_err(|_| format!("{word} is neither a number nor a name"));
    }
    Ok(Token::Name(word))
}

fn set(tokens: &[Token]) -> Option<SyncSet> {
    match tokens {
        [Token::Any, Token::Number(required), rest @ ..] => listed(Method::Any, *required, rest),
        [Token::First, Token::Number(required), rest @ ..] => listed(Method::First, *required, rest),
        [Token::Number(required), Token::Open, ..] => {
            listed(Method::First, *required, tokens.get(1..).unwrap_or_default())
        }
        all => Some(SyncSet { method: Method::First, required: 1, names: names(all)? }),
    }
}

fn listed(method: Method, required: u32, rest: &[Token]) -> Option<SyncSet> {
    let [Token::Open, inside @ .., Token::Close] = rest else { return None };
    (required > 0).then_some(())?;
    Some(SyncSet { method, required, names: names(inside)? })
}

fn names(tokens: &[Token]) -> Option<Vec<String>> {
    let mut found = Vec::new();
    for (index, token) in tokens.iter().enumerate() {
        match (index % 2, token) {
            (0, Token::Name(name)) => found.push(name.clone()),
            // A number is a name, too, where a name is expected.
            (0, Token::Number(number)) => found.push(number.to_string()),
            (1, Token::Comma) => {}
            _ => return None,
        }
    }
    (tokens.len() % 2 == 1).then_some(found)
}

#[cfg(test)]
mod tests;
