//! The truth about the clock in RFC 5424 output (RFC 5424 section 7.1).

use record::ClockQuality;

use crate::stamp::append_decimal;

const SD_ID: &[u8] = b"[timeQuality";

/// Appends `structured_data` and, where the record originates on this host, its clock quality as the element `timeQuality`.
///
/// An SD-ID stands once in a message (RFC 5424 section 6.3.2): where the sender stated the element itself, its claim is
/// kept as it is. `syncAccuracy` never stands with `isSynced="0"` (section 7.1.3).
pub fn append_time_quality(structured_data: &[u8], clock: Option<ClockQuality>, out: &mut Vec<u8>) {
    let Some(clock) = clock.filter(|_| !states_quality(structured_data)) else {
        out.extend_from_slice(structured_data);
        return;
    };
    if structured_data != b"-" {
        out.extend_from_slice(structured_data);
    }
    out.extend_from_slice(SD_ID);
    out.extend_from_slice(if clock.tz_known { b" tzKnown=\"1\"" } else { b" tzKnown=\"0\"" });
    match clock.stated_error_usec() {
        Some(error) => {
            out.extend_from_slice(b" isSynced=\"1\" syncAccuracy=\"");
            append_decimal(i64::try_from(error).unwrap_or(i64::MAX), out);
            out.extend_from_slice(b"\"]");
        }
        None => out.extend_from_slice(b" isSynced=\"0\"]"),
    }
}

/// Whether an element with our SD-ID stands in it. Text inside a quoted value does not count.
fn states_quality(structured_data: &[u8]) -> bool {
    // Most messages have no structured data at all.
    if structured_data.len() <= SD_ID.len() {
        return false;
    }
    syslog_proto::elements(structured_data).any(|element| element.id == b"timeQuality")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Goal: what is stated is true, stands once, and never rewrites a sender's own claim.
    #[test]
    fn quality_is_stated_once() {
        let check = |data: &str, clock: Option<ClockQuality>, expected: &str| {
            let mut out = Vec::new();
            append_time_quality(data.as_bytes(), clock, &mut out);
            assert_eq!(String::from_utf8_lossy(&out), expected);
        };
        let synced = Some(ClockQuality { synced: true, max_error_usec: 12_345, tz_known: true });
        let free = Some(ClockQuality { synced: false, max_error_usec: 12_345, tz_known: false });
        check("-", None, "-");
        check("-", synced, "[timeQuality tzKnown=\"1\" isSynced=\"1\" syncAccuracy=\"13000\"]");
        check("-", free, "[timeQuality tzKnown=\"0\" isSynced=\"0\"]");
        check("[a b=\"c\"]", free, "[a b=\"c\"][timeQuality tzKnown=\"0\" isSynced=\"0\"]");
        let claim = "[timeQuality tzKnown=\"0\" isSynced=\"0\"]";
        check(claim, synced, claim);
        check(
            "[x y=\"[timeQuality z\"]",
            free,
            "[x y=\"[timeQuality z\"][timeQuality tzKnown=\"0\" isSynced=\"0\"]",
        );
    }
}
