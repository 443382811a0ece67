//! Dates and times as people type them for `settime`: the forms of chronyc(1), and the usual others.

use sys::rtc::RtcTime;

const MONTHS: [&str; 12] = [
    "january",
    "february",
    "march",
    "april",
    "may",
    "june",
    "july",
    "august",
    "september",
    "october",
    "november",
    "december",
];
const WEEKDAYS: [&str; 7] = ["sunday", "monday", "tuesday", "wednesday", "thursday", "friday", "saturday"];
/// Seconds in each unit of a distance ("2 days ago").
const UNITS: [(&str, i64); 8] = [
    ("second", 1),
    ("sec", 1),
    ("minute", 60),
    ("min", 60),
    ("hour", 3_600),
    ("day", 86_400),
    ("week", 604_800),
    ("fortnight", 1_209_600),
];

/// What the words say.
#[derive(Debug, Default)]
struct Said {
    date: Option<(i32, u8, u8)>,
    time: Option<(u8, u8, u8)>,
    /// Minutes east of UTC; none: the local time zone.
    zone: Option<i64>,
    /// Seconds that are added at the end.
    distance: i64,
    /// The next day of this name, 0 for Sunday.
    weekday: Option<i64>,
    /// Something was said that lets the time of day stand as it is.
    keeps_time: bool,
}

/// Seconds since the Unix epoch; none when the words are no date. `now` is the present moment; `local` breaks a moment down in
/// the local time zone, and `back` puts it together again.
pub(crate) fn parse(
    text: &str,
    now: i64,
    local: impl Fn(i64) -> RtcTime,
    back: impl Fn(RtcTime) -> Option<i64>,
) -> Option<i64> {
    let today = local(now);
    let mut said = Said::default();
    let lower = text.to_ascii_lowercase().replace(',', " ");
    let words: Vec<&str> = lower.split_ascii_whitespace().collect();
    let mut rest = words.as_slice();
    while let Some((word, after)) = rest.split_first() {
        rest = said.take(word, after, &today)?;
    }
    let (year, month, day) = said.date.unwrap_or((today.year, today.month, today.day));
    let unsaid = if said.keeps_time { (today.hour, today.minute, today.second) } else { (0, 0, 0) };
    let (hour, minute, second) = said.time.unwrap_or(unsaid);
    if !(1..=12).contains(&month) || !(1..=31).contains(&day) || hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let time = RtcTime { year, month, day, hour, minute, second };
    let seconds = match said.zone {
        Some(east) => sys::rtc::from_utc(time) - east * 60,
        None => back(time)?,
    };
    let until = said.weekday.map_or(0, |wanted| {
        // 1970-01-01 was a Thursday.
        let midnight = RtcTime { hour: 0, minute: 0, second: 0, ..time };
        let today = (sys::rtc::from_utc(midnight).div_euclid(86_400) + 4).rem_euclid(7);
        (wanted - today).rem_euclid(7)
    });
    Some(seconds + until * 86_400 + said.distance)
}

impl Said {
    /// Takes one word, and those after it that belong to it; the rest.
    fn take<'a, 'b>(&mut self, word: &str, after: &'a [&'b str], today: &RtcTime) -> Option<&'a [&'b str]> {
        let next = after.first().copied();
        if word.contains(':') {
            return self.take_time(word, after);
        }
        if let Some(date) = slashed(word, today.year).or_else(|| dashed(word)) {
            self.date = Some(date);
            return Some(after);
        }
        if let Some(month) = name(word, &MONTHS) {
            // "Nov 21" and "Nov 21 2015".
            let day = next?.parse().ok()?;
            let year = after.get(1).and_then(|word| word.parse().ok()).filter(|year| *year > 31);
            self.date = Some((year.unwrap_or(today.year), month as u8 + 1, day));
            return after.get(if year.is_some() { 2 } else { 1 }..);
        }
        if let Some(weekday) = name(word, &WEEKDAYS) {
            self.weekday = Some(weekday as i64);
            return Some(after);
        }
        match word {
            "now" | "today" => self.keeps_time = true,
            "yesterday" => (self.keeps_time, self.distance) = (true, self.distance - 86_400),
            "tomorrow" => (self.keeps_time, self.distance) = (true, self.distance + 86_400),
            "ago" => self.distance = -self.distance,
            "utc" | "gmt" | "ut" | "z" => self.zone = Some(0),
            "am" | "pm" => {
                let (hour, minute, second) = self.time?;
                self.time = Some((twelve(hour, word)?, minute, second));
            }
            _ => return self.take_number(word, after, today),
        }
        Some(after)
    }

    /// "16:30", "16:30:05", "4:30pm", with a zone like "+0100" behind it.
    fn take_time<'a, 'b>(&mut self, word: &str, after: &'a [&'b str]) -> Option<&'a [&'b str]> {
        let end = word.find(|letter: char| !letter.is_ascii_digit() && letter != ':').unwrap_or(word.len());
        let (digits, tail) = word.split_at(end);
        let mut parts = digits.split(':').map(|part| part.parse::<u8>().ok());
        let (mut hour, minute, second) = (parts.next()??, parts.next()??, parts.next().unwrap_or(Some(0))?);
        if parts.next().is_some() || hour > 23 || minute > 59 || second > 59 {
            return None;
        }
        match tail {
            "" => {}
            "am" | "pm" => hour = twelve(hour, tail)?,
            "z" => self.zone = Some(0),
            zone => self.zone = Some(zone_minutes(zone)?),
        }
        self.time = Some((hour, minute, second));
        match after.first().and_then(|word| zone_minutes(word)) {
            Some(zone) => {
                self.zone = Some(zone);
                after.get(1..)
            }
            None => Some(after),
        }
    }

    /// "21 Nov", "21 Nov 2015", "2 days", "4 pm".
    fn take_number<'a, 'b>(
        &mut self,
        word: &str,
        after: &'a [&'b str],
        today: &RtcTime,
    ) -> Option<&'a [&'b str]> {
        let number: i64 = word.parse().ok()?;
        let next = *after.first()?;
        if let Some(month) = name(next, &MONTHS) {
            let year = after.get(1).and_then(|word| word.parse().ok()).filter(|year| *year > 31);
            self.date = Some((year.unwrap_or(today.year), month as u8 + 1, u8::try_from(number).ok()?));
            return after.get(if year.is_some() { 2 } else { 1 }..);
        }
        if next == "am" || next == "pm" {
            self.time = Some((twelve(u8::try_from(number).ok()?, next)?, 0, 0));
            return after.get(1..);
        }
        let unit = UNITS.iter().find(|(unit, _)| next.strip_suffix('s').unwrap_or(next) == *unit)?;
        self.distance = self.distance.checked_add(number.checked_mul(unit.1)?)?;
        self.keeps_time = true;
        after.get(1..)
    }
}

/// The index of a name that the word is, or begins with at least three letters of.
fn name(word: &str, names: &[&str]) -> Option<usize> {
    let word = word.trim_end_matches('.');
    (word.len() >= 3).then(|| names.iter().position(|name| name.starts_with(word)))?
}

fn twelve(hour: u8, half: &str) -> Option<u8> {
    match (hour, half) {
        (12, "am") => Some(0),
        (12, _) => Some(12),
        (1..=11, "am") => Some(hour),
        (1..=11, _) => Some(hour + 12),
        _ => None,
    }
}

/// "+0100", "-05:30" in minutes.
fn zone_minutes(word: &str) -> Option<i64> {
    let (sign, digits) = match word.split_at_checked(1)? {
        ("+", digits) => (1, digits),
        ("-", digits) => (-1, digits),
        _ => return None,
    };
    let digits = digits.replace(':', "");
    let number: i64 = digits.parse().ok().filter(|_| digits.len() == 4)?;
    Some(sign * (number / 100 * 60 + number % 100))
}

/// "11/21" and "11/21/2015".
fn slashed(word: &str, year: i32) -> Option<(i32, u8, u8)> {
    let mut parts = word.split('/');
    let (month, day) = (parts.next()?.parse().ok()?, parts.next()?.parse().ok()?);
    let year = match parts.next() {
        None => year,
        Some(text) => full_year(text)?,
    };
    parts.next().is_none().then_some((year, month, day))
}

/// "2015-11-21", "21-nov-2015".
fn dashed(word: &str) -> Option<(i32, u8, u8)> {
    let mut parts = word.split('-');
    let (first, second, third) = (parts.next()?, parts.next()?, parts.next()?);
    if parts.next().is_some() {
        return None;
    }
    match name(second, &MONTHS) {
        Some(month) => Some((full_year(third)?, month as u8 + 1, first.parse().ok()?)),
        None => Some((full_year(first)?, second.parse().ok()?, third.parse().ok()?)),
    }
}

/// Two digits mean the years 1969 to 2068.
fn full_year(text: &str) -> Option<i32> {
    let year: i32 = text.parse().ok()?;
    Some(match (text.len(), year) {
        (2, 69..) => 1900 + year,
        (2, _) => 2000 + year,
        _ => year,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Goal: the forms of chronyc(1) and the usual others, in a zone one hour east of UTC. The expected texts are from date(1).
    #[test]
    fn what_people_type_is_read() {
        const NOW: i64 = 1_795_364_254; // Sun Nov 22 16:17:34 UTC 2026
        let local = |at: i64| broken_utc(at + 3_600);
        let back = |time: RtcTime| Some(sys::rtc::from_utc(time) - 3_600);
        let check = |text: &str, expected: Option<i64>| {
            assert_eq!(parse(text, NOW, local, back), expected, "{text}");
        };
        check("16:30", Some(1_795_361_400));
        check("16:30:05", Some(1_795_361_405));
        check("4:30 pm", Some(1_795_361_400));
        check("4:30pm UTC", Some(1_795_365_000));
        check("16:30 +0200", Some(1_795_357_800));
        check("Nov 21, 2015 16:30:05", Some(1_448_119_805));
        check("21 November 2015 16:30:05", Some(1_448_119_805));
        check("2015-11-21 16:30:05", Some(1_448_119_805));
        check("11/21/2015 16:30:05", Some(1_448_119_805));
        check("21-Nov-15 16:30:05", Some(1_448_119_805));
        check("", Some(1_795_302_000));
        check("now", Some(NOW));
        check("2 hours ago", Some(NOW - 7_200));
        check("tomorrow", Some(NOW + 86_400));
        check("monday 00:00", Some(1_795_388_400));
        for wrong in ["foo", "99:99", "12:60", "Nov", "Nov 40", "13/13", "5", "1:2:3:4", "25 pm", "+", "é:1"]
        {
            check(wrong, None);
        }
    }

    fn broken_utc(at: i64) -> RtcTime {
        let days = (1..).find(|days| sys::rtc::from_utc(date(*days)) > at).expect("a day after") - 1;
        let second = at - sys::rtc::from_utc(date(days));
        RtcTime {
            hour: (second / 3_600) as u8,
            minute: (second / 60 % 60) as u8,
            second: (second % 60) as u8,
            ..date(days)
        }
    }

    /// The day of this number, of November 2026.
    fn date(day: u8) -> RtcTime {
        RtcTime { year: 2026, month: 11, day, hour: 0, minute: 0, second: 0 }
    }
}
