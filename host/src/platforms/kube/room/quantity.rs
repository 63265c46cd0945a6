//! Amounts as Kubernetes writes them: `250m`, `1.5`, `64Mi`, `10G`, `1e3`.

use k8s_openapi::apimachinery::pkg::api::resource::Quantity;

/// In thousandths, rounded up; none where it is no amount, or one beyond all machines.
pub(super) fn thousandths(text: &str) -> Option<u128> {
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, suffix) = text.split_at(end);
    let (whole, decimals) = number.split_once('.').unwrap_or((number, ""));
    if (whole.is_empty() && decimals.is_empty()) || decimals.contains('.') || number.len() > 24 {
        return None;
    }
    let digits: u128 = format!("{whole}{decimals}").parse().ok()?;
    let places = u32::try_from(decimals.len()).ok()?;
    let (multiply, divide) = scale(suffix)?;
    let scaled = digits.checked_mul(multiply)?.checked_mul(1_000)?;
    Some(scaled.div_ceil(divide.checked_mul(10_u128.checked_pow(places)?)?))
}

/// What an amount is multiplied with, and divided by.
fn scale(suffix: &str) -> Option<(u128, u128)> {
    const DECIMAL: [&str; 7] = ["", "k", "M", "G", "T", "P", "E"];
    const BINARY: [&str; 7] = ["", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei"];
    const SMALL: [&str; 4] = ["", "m", "u", "n"];
    let step =
        |names: &[&str]| names.iter().position(|name| *name == suffix).and_then(|at| u32::try_from(at).ok());
    if let Some(times) = step(&DECIMAL) {
        return Some((1_000_u128.pow(times), 1));
    }
    if let Some(times) = step(&BINARY) {
        return Some((1_024_u128.pow(times), 1));
    }
    if let Some(times) = step(&SMALL) {
        return Some((1, 1_000_u128.pow(times)));
    }
    let exponent: i32 = suffix.strip_prefix(['e', 'E'])?.parse().ok()?;
    let power = 10_u128.checked_pow(exponent.unsigned_abs())?;
    Some(if exponent < 0 { (1, power) } else { (power, 1) })
}

/// The same of an amount as it comes; nothing where there is none.
pub(super) fn of(quantity: Option<&Quantity>) -> u128 {
    quantity.and_then(|quantity| thousandths(&quantity.0)).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::thousandths;

    #[test]
    fn amounts_are_read_as_kubernetes_writes_them() {
        for (text, expected) in [
            ("0", Some(0)),
            ("2", Some(2_000)),
            ("250m", Some(250)),
            ("1.5", Some(1_500)),
            ("0.0001", Some(1)),
            ("100u", Some(1)),
            ("1Ki", Some(1_024_000)),
            ("1.5Gi", Some(1_610_612_736_000)),
            ("10G", Some(10_000_000_000_000)),
            ("1e3", Some(1_000_000)),
            ("5E-1", Some(500)),
            ("1E", Some(1_000_000_000_000_000_000_000)),
            ("", None),
            ("x", None),
            ("-1", None),
            ("1.2.3", None),
            ("1 Gi", None),
            ("1e99", None),
            ("9999999999999999999999999", None),
        ] {
            assert_eq!(thousandths(text), expected, "{text}");
        }
    }
}
