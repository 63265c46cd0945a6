//! `primary_conninfo`: the connection string with which a standby follows, read and pointed elsewhere.

/// The longest string that is read or written.
const MOST_BYTES: usize = 8192;

/// The same connection to another address: user, certificates and names stay as they are.
pub(super) fn retarget(conninfo: &str, host: &str, port: u16) -> Result<String, String> {
    let mut pairs = parse(conninfo)?;
    pairs.retain(|(key, _)| !["host", "hostaddr", "port"].contains(&key.as_str()));
    pairs.push(("host".to_owned(), host.to_owned()));
    pairs.push(("port".to_owned(), port.to_string()));
    let written: Vec<String> = pairs.iter().map(|(key, value)| format!("{key}={}", quoted(value))).collect();
    Ok(written.join(" "))
}

/// The address that a standby follows; none where the string names no host or several.
pub(super) fn target(conninfo: &str) -> Option<(String, u16)> {
    let pairs = parse(conninfo).ok()?;
    let last =
        |key: &str| pairs.iter().rev().find(|(known, _)| known == key).map(|(_, value)| value.as_str());
    let host = last("host").filter(|host| !host.is_empty() && !host.contains(','))?;
    let port = match last("port") {
        None | Some("") => 5432,
        Some(text) => text.parse().ok()?,
    };
    Some((host.to_owned(), port))
}

fn parse(text: &str) -> Result<Vec<(String, String)>, String> {
    if text.len() > MOST_BYTES {
        return Err(format!("its connection string has {} bytes, at most {MOST_BYTES} are read", text.len()));
    }
    if text.contains("://") {
        return Err("its connection string is a URI; keywords (`host=… port=…`) can be changed".to_owned());
    }
    let mut pairs = Vec::new();
    let mut rest = text.trim_start();
    while !rest.is_empty() {
        let (key, after) = rest.split_once('=').ok_or("its connection string has a word without `=`")?;
        let key = key.trim();
        if key.is_empty() || !key.chars().all(|char| char.is_ascii_alphanumeric() || char == '_') {
            return Err(format!("its connection string has no keyword where {key:?} stands"));
        }
        let (value, after) = value(after.trim_start())?;
        pairs.push((key.to_owned(), value));
        rest = after.trim_start();
    }
    Ok(pairs)
}

/// One value, and what follows it.
fn value(text: &str) -> Result<(String, &str), String> {
    let (quoted, body) = match text.strip_prefix('\'') {
        Some(body) => (true, body),
        None => (false, text),
    };
    let mut found = String::new();
    let mut chars = body.char_indices();
    while let Some((at, char)) = chars.next() {
        match char {
            '\\' => found.extend(chars.next().map(|(_, char)| char)),
            '\'' if quoted => return Ok((found, body.get(at + 1..).unwrap_or_default())),
            other if !quoted && other.is_whitespace() => {
                return Ok((found, body.get(at..).unwrap_or_default()));
            }
            other => found.push(other),
        }
    }
    if quoted { Err("its connection string has a quote without an end".to_owned()) } else { Ok((found, "")) }
}

fn quoted(value: &str) -> String {
    let plain = |char: char| char.is_ascii_alphanumeric() || "._-/:".contains(char);
    if !value.is_empty() && value.chars().all(plain) {
        return value.to_owned();
    }
    format!("'{}'", value.replace('\\', "\\\\").replace('\'', "\\'"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_address_changes() {
        let old = "user=repl application_name=p3 passfile='/a b/\\'x' host=10.0.0.1,10.0.0.2 hostaddr=1.2.3.4 port=5432";
        let new = retarget(old, "10.0.0.9", 5433).expect("it is read");
        assert_eq!(new, "user=repl application_name=p3 passfile='/a b/\\'x' host=10.0.0.9 port=5433");
        assert_eq!(target(&new), Some(("10.0.0.9".to_owned(), 5433)));
        assert_eq!(retarget(&new, "10.0.0.9", 5433).as_deref(), Ok(new.as_str()));
    }

    #[test]
    fn values_are_read_as_libpq_reads_them() {
        let pairs = parse("host = 'a' user=b\\ c password=''  options='-c x\\\\y'").expect("it is read");
        let wanted = [("host", "a"), ("user", "b c"), ("password", ""), ("options", "-c x\\y")];
        let pairs: Vec<(&str, &str)> =
            pairs.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
        assert_eq!(pairs, wanted);
    }

    #[test]
    fn a_string_that_is_not_understood_is_not_changed() {
        for text in ["postgresql://a/b", "host", "host='a", "=a", "ho st=a"] {
            assert!(retarget(text, "b", 1).is_err(), "{text}");
        }
    }

    #[test]
    fn an_address_is_one_host_or_none() {
        assert_eq!(target("host=a"), Some(("a".to_owned(), 5432)));
        assert_eq!(target("user=x"), None);
        assert_eq!(target("host=a,b"), None);
        assert_eq!(target("host=a port=x"), None);
    }
}
