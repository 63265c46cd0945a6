//! Checks that the brackets and quotes of a query close. It is the most frequent slip, and finding it needs no parser
//! of PromQL.

/// What is open at the end, or closed that was never open.
pub(super) fn unclosed(query: &str) -> Option<String> {
    let mut open: Vec<char> = Vec::new();
    let mut letters = query.chars();
    while let Some(letter) = letters.next() {
        match letter {
            '"' | '\'' | '`' if !ends(&mut letters, letter) => {
                return Some(format!("{letter} is not closed"));
            }
            '#' => while letters.next().is_some_and(|letter| letter != '\n') {},
            '(' | '[' | '{' => open.push(letter),
            ')' | ']' | '}' => match open.pop() {
                Some(other) if partner(other) == letter => {}
                Some(other) => return Some(format!("`{other}` is closed by `{letter}`")),
                None => return Some(format!("`{letter}` closes nothing")),
            },
            _ => {}
        }
    }
    open.pop().map(|letter| format!("`{letter}` is not closed"))
}

fn partner(open: char) -> char {
    match open {
        '(' => ')',
        '[' => ']',
        _ => '}',
    }
}

/// Reads to the end of a string.
fn ends(letters: &mut std::str::Chars<'_>, quote: char) -> bool {
    while let Some(letter) = letters.next() {
        match letter {
            '\\' if quote != '`' => {
                letters.next();
            }
            letter if letter == quote => return true,
            _ => {}
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn brackets_and_quotes_that_do_not_close_are_told_and_those_in_text_are_not() {
        for (query, expected) in [
            ("sum(rate(a_total[1m])", "`(` is not closed"),
            ("sum(rate(a_total[1m)])", "`[` is closed by `)`"),
            ("a{b=\"c}", "\" is not closed"),
            ("sum(a))", "`)` closes nothing"),
            ("a{b='c\\'", "' is not closed"),
        ] {
            assert_eq!(unclosed(query).as_deref(), Some(expected), "{query}");
        }
        for query in
            ["sum(rate(a_total{b=~\"(x[\"}[1m])) # )", "a{b='\\'('}", "up", "a{b=`\\`}", "a # (\n + (b)"]
        {
            assert_eq!(unclosed(query), None, "{query}");
        }
    }
}
