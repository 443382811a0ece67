//! Numbers as people read them.

/// A span of seconds with sign and the unit that suits it: `+1.234 ms`.
pub fn seconds_text(seconds: f64) -> String {
    if !seconds.is_finite() {
        return "?".to_owned();
    }
    let (scaled, unit) = match seconds.abs() {
        size if size < 1e-6 => (seconds * 1e9, "ns"),
        size if size < 1e-3 => (seconds * 1e6, "us"),
        size if size < 1.0 => (seconds * 1e3, "ms"),
        _ => (seconds, "s"),
    };
    // No negative nothing.
    let scaled = if scaled == 0.0 { 0.0 } else { scaled };
    let digits = match scaled.abs() {
        size if size >= 100.0 => 0,
        size if size >= 10.0 => 1,
        _ => 2,
    };
    format!("{scaled:+.digits$} {unit}")
}

/// The same without a sign: for bounds.
pub fn bound_text(seconds: f64) -> String {
    seconds_text(seconds.abs()).trim_start_matches('+').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Goal: each size has its unit, and nonsense has a sign of its own.
    #[test]
    fn seconds_have_units() {
        for (seconds, expected) in [
            (0.0, "+0.00 ns"),
            (-0.0, "+0.00 ns"),
            (-0.000_001_5, "-1.50 us"),
            (0.012_345, "+12.3 ms"),
            (-3.0, "-3.00 s"),
            (86_400.0, "+86400 s"),
            (f64::NAN, "?"),
        ] {
            assert_eq!(seconds_text(seconds), expected);
        }
        assert_eq!(bound_text(-0.5), "500 ms");
    }
}
