//! One report: words for people, or comma-separated values for programs, from the same cells.
//!
//! The widths, units and thresholds are those that `chronyc` 4.3 prints; scripts of the trade cut its columns.

use chrony_cmd::{LeapStatus, Timespec};

/// One value of a report. A width is a minimum; values that need more push the rest to the right.
#[derive(Debug, Clone)]
pub(crate) enum Cell {
    Character(char),
    /// Text, padded on the right.
    Left(String, usize),
    /// Text, padded on the left.
    Right(String, usize),
    /// An integer, padded on the left.
    Number(i64, usize),
    /// An unsigned integer of 64 bits.
    Counter(u64),
    /// An octal number, padded on the left.
    Octal(u16, usize),
    /// The lowest bits of a number, this many.
    Bits(u16, u32),
    /// A number with so many decimals, padded on the left.
    Fixed(f64, usize, usize),
    /// The same with its sign, which CSV does not show where it is plus.
    Signed(f64, usize),
    /// Seconds ago, in the largest fitting unit; `u32::MAX`: never.
    Ago(u32),
    /// An offset without sign, in the unit that fits.
    Seconds(f64),
    /// An offset with sign, in the unit that fits.
    SignedSeconds(f64),
    /// A frequency in parts per million.
    Ppm(f64),
    /// A frequency with sign.
    SignedPpm(f64),
    /// How far the clock is from true time.
    ClockOffset(f64),
    /// How much the clock gains or loses.
    ClockFrequency(f64),
    /// A reference id.
    ReferenceId(u32),
    /// A moment, UTC.
    Time(Timespec),
    /// Leap status in words.
    Leap(LeapStatus),
    /// Leap status as one character.
    LeapMark(LeapStatus),
    /// Yes or no.
    Flag(bool),
    /// log2 of a client's interval; 127: unknown.
    ClientInterval(i8),
}

impl Cell {
    fn text(&self) -> String {
        match *self {
            Self::Character(c) => c.to_string(),
            Self::Left(ref text, width) => format!("{text:<width$}"),
            Self::Right(ref text, width) => format!("{text:>width$}"),
            Self::Number(number, width) => format!("{number:width$}"),
            Self::Counter(number) => number.to_string(),
            Self::Octal(number, width) => format!("{number:width$o}"),
            Self::Bits(number, count) => {
                (0..count).rev().map(|bit| if number >> bit & 1 == 1 { '1' } else { '0' }).collect()
            }
            Self::Fixed(value, width, decimals) => format!("{value:width$.decimals$}"),
            Self::Signed(value, decimals) => format!("{value:+.decimals$}"),
            Self::Ago(seconds) => ago(seconds),
            Self::Seconds(value) => {
                let (number, unit, decimals) = scale(value.abs());
                format!("{number:width$.decimals$}{unit}", width = 6 - unit.len())
            }
            Self::SignedSeconds(value) => {
                let (number, unit, decimals) = scale(value);
                format!("{number:+width$.decimals$}{unit}", width = 7 - unit.len())
            }
            Self::Ppm(value) => format!("{value:10.decimals$}", decimals = ppm_decimals(value)),
            Self::SignedPpm(value) => format!("{value:+10.decimals$}", decimals = ppm_decimals(value)),
            Self::ClockOffset(value) => {
                format!("{:.9} seconds {}", value.abs(), if value > 0.0 { "slow" } else { "fast" })
            }
            Self::ClockFrequency(value) => {
                format!("{:.3} ppm {}", value.abs(), if value > 0.0 { "fast" } else { "slow" })
            }
            Self::ReferenceId(id) => format!("{id:08X}"),
            Self::Time(time) => calendar(time),
            Self::Leap(leap) => leap_words(leap).to_owned(),
            Self::LeapMark(leap) => match leap {
                LeapStatus::Normal => "N",
                LeapStatus::InsertSecond => "+",
                LeapStatus::DeleteSecond => "-",
                LeapStatus::Unsynchronised | LeapStatus::Other(_) => "?",
            }
            .to_owned(),
            Self::Flag(flag) => if flag { "Yes" } else { "No" }.to_owned(),
            Self::ClientInterval(127) => " -".to_owned(),
            Self::ClientInterval(interval) => format!("{interval:2}"),
        }
    }

    /// For programs: no padding, no units, no plus signs; times in seconds since 1970.
    fn csv(&self) -> String {
        match *self {
            Self::Left(ref text, _) | Self::Right(ref text, _) => text.clone(),
            Self::Number(number, _) => number.to_string(),
            Self::Octal(number, _) => format!("{number:o}"),
            Self::Fixed(value, _, decimals) | Self::Signed(value, decimals) => format!("{value:.decimals$}"),
            Self::Ago(seconds) => seconds.to_string(),
            Self::Seconds(value) | Self::SignedSeconds(value) | Self::ClockOffset(value) => {
                format!("{value:.9}")
            }
            Self::Ppm(value) | Self::SignedPpm(value) | Self::ClockFrequency(value) => format!("{value:.3}"),
            Self::Time(time) => format!("{}.{:09}", time.seconds, time.nanoseconds),
            Self::LeapMark(leap) => leap_words(leap).to_owned(),
            Self::ClientInterval(interval) => interval.to_string(),
            Self::Character(_)
            | Self::Counter(_)
            | Self::Bits(..)
            | Self::ReferenceId(_)
            | Self::Leap(_)
            | Self::Flag(_) => self.text(),
        }
    }
}

/// Text and cells in the order in which they are read.
pub(crate) struct Report {
    csv: bool,
    cells: usize,
    out: String,
}

impl Report {
    pub(crate) fn new(csv: bool) -> Self {
        Self { csv, cells: 0, out: String::new() }
    }

    /// Words around the cells; programs do not need them.
    pub(crate) fn text(mut self, text: &str) -> Self {
        if !self.csv {
            self.out.push_str(text);
        }
        self
    }

    pub(crate) fn cell(mut self, cell: Cell) -> Self {
        if self.csv {
            if self.cells > 0 {
                self.out.push(',');
            }
            self.out.push_str(&cell.csv());
        } else {
            self.out.push_str(&cell.text());
        }
        self.cells += 1;
        self
    }

    /// The report with its end of line.
    pub(crate) fn end(mut self) -> String {
        self.out.push('\n');
        self.out
    }
}

/// A heading with its underline; none for programs.
pub(crate) fn heading(csv: bool, text: &str) -> String {
    if csv { String::new() } else { format!("{text}\n{}\n", "=".repeat(text.len())) }
}

/// The heading of a table whose first column, which ends at the first two spaces, is that of names, `by` characters wider than usual.
pub(crate) fn widened_heading(text: &str, by: usize) -> String {
    let (names, others) = text.split_at(text.find("  ").unwrap_or(text.len()));
    format!("{names}{:by$}{others}", "")
}

/// Lines that point into the columns behind the names, which are so much wider; `margin` characters of each stay where they are.
pub(crate) fn widened_legend(lines: &str, margin: usize, by: usize) -> String {
    let widened = |line: &str| {
        let (first, others) = line.split_at(margin.min(line.len()));
        format!("{first}{:by$}{others}\n", "")
    };
    lines.lines().map(widened).collect()
}

/// The readable characters of a reference id ("GPS"); empty for numbers.
pub(crate) fn reference_name(id: u32) -> String {
    id.to_be_bytes().into_iter().filter(|byte| (b' '..=b'~').contains(byte)).map(char::from).collect()
}

fn leap_words(leap: LeapStatus) -> &'static str {
    match leap {
        LeapStatus::Normal => "Normal",
        LeapStatus::InsertSecond => "Insert second",
        LeapStatus::DeleteSecond => "Delete second",
        LeapStatus::Unsynchronised => "Not synchronised",
        LeapStatus::Other(_) => "Invalid",
    }
}

/// Four characters: seconds up to 20 minutes, minutes up to 10 hours, hours up to 4 days, days up to 999, years.
fn ago(seconds: u32) -> String {
    let days = seconds / 86_400;
    if seconds == u32::MAX {
        "   -".to_owned()
    } else if seconds < 1_200 {
        format!("{seconds:4}")
    } else if seconds < 36_000 {
        format!("{:3}m", seconds / 60)
    } else if seconds < 345_600 {
        format!("{:3}h", seconds / 3_600)
    } else if days > 999 {
        format!("{:3}y", days / 365)
    } else {
        format!("{days:3}d")
    }
}

/// The number, its unit and its decimals. Each unit is used as long as the number has at most four digits, from seconds
/// on five.
fn scale(value: f64) -> (f64, &'static str, usize) {
    const MINUTE: f64 = 60.0;
    const HOUR: f64 = 3_600.0;
    const DAY: f64 = 86_400.0;
    const YEAR: f64 = 365.0 * DAY;
    let magnitude = value.abs();
    if magnitude < 9999.5e-9 {
        (value * 1e9, "ns", 0)
    } else if magnitude < 9999.5e-6 {
        (value * 1e6, "us", 0)
    } else if magnitude < 9999.5e-3 {
        (value * 1e3, "ms", 0)
    } else if magnitude < 999.5 {
        (value, "s", 1)
    } else if magnitude < 99999.5 {
        (value, "s", 0)
    } else if magnitude < 99999.5 * MINUTE {
        (value / MINUTE, "m", 0)
    } else if magnitude < 99999.5 * HOUR {
        (value / HOUR, "h", 0)
    } else if magnitude < 99999.5 * DAY {
        (value / DAY, "d", 0)
    } else {
        (value / YEAR, "y", 0)
    }
}

fn ppm_decimals(value: f64) -> usize {
    if value.abs() < 99999.5 { 3 } else { 0 }
}

/// `Sun Nov 22 16:17:34 2026`, UTC (`%a %b %d %T %Y` of strftime(3)).
fn calendar(time: Timespec) -> String {
    const WEEKDAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
    const MONTHS: [&str; 12] =
        ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let days = time.seconds.div_euclid(86_400);
    let second = time.seconds.rem_euclid(86_400);
    let (year, month, day) = civil_from_days(days);
    format!(
        "{} {} {day:02} {:02}:{:02}:{:02} {year}",
        WEEKDAYS[days.rem_euclid(7) as usize],
        MONTHS[month - 1],
        second / 3_600,
        second / 60 % 60,
        second % 60,
    )
}

/// `2026-11-22 16:17:34`, UTC.
pub(crate) fn log_time(time: Timespec) -> String {
    let (year, month, day) = civil_from_days(time.seconds.div_euclid(86_400));
    let second = time.seconds.rem_euclid(86_400);
    format!("{year}-{month:02}-{day:02} {:02}:{:02}:{:02}", second / 3_600, second / 60 % 60, second % 60)
}

/// Year, month (1-12) and day of a day counted from 1970-01-01, in the proleptic Gregorian calendar. Years start in March
/// here, so that the leap day is a year's last; 400 of them have 146,097 days.
fn civil_from_days(days: i64) -> (i64, usize, i64) {
    let days = days.saturating_add(719_468);
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let march_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * march_month + 2) / 5 + 1;
    let month = if march_month < 10 { march_month + 3 } else { march_month - 9 };
    (year_of_era + era * 400 + i64::from(month <= 2), month as usize, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Goal: `-w` makes the column of names wider and leaves the others as they are; without it nothing changes (chronyc of 4.8 and later).
    #[test]
    fn names_get_more_room() {
        let heading = "S Name/IP Address        Auth COpts";
        assert_eq!(widened_heading(heading, 0), heading);
        assert_eq!(widened_heading(heading, 14), "S Name/IP Address                      Auth COpts");
        assert_eq!(widened_heading("Names", 2), "Names  ");
        let legend = "|   Auth.\n|     |\n\n";
        assert_eq!(widened_legend(legend, 1, 0), legend);
        assert_eq!(widened_legend(legend, 1, 3), "|      Auth.\n|        |\n   \n");
    }

    /// Goal: each kind of cell at its thresholds, as chronyc 4.3 prints it, for people and for programs.
    #[test]
    fn cells_print_as_chronyc_prints_them() {
        let check = |cell: Cell, text: &str, csv: &str| {
            assert_eq!((cell.text().as_str(), cell.csv().as_str()), (text, csv))
        };
        check(Cell::Seconds(2.958e-6), "2958ns", "0.000002958");
        check(Cell::Seconds(9999.4e-9), "9999ns", "0.000009999");
        check(Cell::Seconds(-9999.6e-9), "  10us", "-0.000010000");
        check(Cell::Seconds(4.0), "4000ms", "4.000000000");
        check(Cell::Seconds(999.4), "999.4s", "999.400000000");
        check(Cell::Seconds(12_345.0), "12345s", "12345.000000000");
        check(Cell::Seconds(6e6), " 1667h", "6000000.000000000");
        check(Cell::Seconds(1e10), "  317y", "10000000000.000000000");
        check(Cell::SignedSeconds(0.0), "   +0ns", "0.000000000");
        check(Cell::SignedSeconds(-0.2e-9), "   -0ns", "-0.000000000");
        check(Cell::SignedSeconds(1.275e-6), "+1275ns", "0.000001275");
        check(Cell::SignedSeconds(-12.5), " -12.5s", "-12.500000000");
        check(Cell::Ppm(2000.0), "  2000.000", "2000.000");
        check(Cell::SignedPpm(0.0), "    +0.000", "0.000");
        check(Cell::SignedPpm(-123_456.7), "   -123457", "-123456.700");
        check(Cell::ClockOffset(1e-6), "0.000001000 seconds slow", "0.000001000");
        check(Cell::ClockOffset(-1e-6), "0.000001000 seconds fast", "-0.000001000");
        check(Cell::ClockFrequency(-1.5), "1.500 ppm slow", "-1.500");
        check(Cell::ClockFrequency(0.001), "0.001 ppm fast", "0.001");
        check(Cell::Ago(u32::MAX), "   -", "4294967295");
        check(Cell::Ago(1_199), "1199", "1199");
        check(Cell::Ago(1_200), " 20m", "1200");
        check(Cell::Ago(36_000), " 10h", "36000");
        check(Cell::Ago(345_600), "  4d", "345600");
        check(Cell::Ago(1_000 * 86_400), "  2y", "86400000");
        check(Cell::ReferenceId(0x7f7f_0101), "7F7F0101", "7F7F0101");
        check(Cell::Octal(0o17, 3), " 17", "17");
        check(Cell::Bits(0b1011, 3), "011", "011");
        check(Cell::ClientInterval(127), " -", "127");
        check(Cell::ClientInterval(-4), "-4", "-4");
        check(Cell::Signed(1e-9, 9), "+0.000000001", "0.000000001");
        check(Cell::LeapMark(LeapStatus::Unsynchronised), "?", "Not synchronised");
    }

    /// Goal: moments far and near. The expected texts are from `date -u -d @N`.
    #[test]
    fn moments_have_their_date() {
        let check = |seconds: i64, text: &str, log: &str| {
            let time = Timespec { seconds, nanoseconds: 5 };
            assert_eq!((calendar(time).as_str(), log_time(time).as_str()), (text, log));
        };
        check(0, "Thu Jan 01 00:00:00 1970", "1970-01-01 00:00:00");
        check(1_795_364_254, "Sun Nov 22 16:17:34 2026", "2026-11-22 16:17:34");
        check(951_782_400, "Tue Feb 29 00:00:00 2000", "2000-02-29 00:00:00");
        check(-1, "Wed Dec 31 23:59:59 1969", "1969-12-31 23:59:59");
        check(4_107_542_399, "Sun Feb 28 23:59:59 2100", "2100-02-28 23:59:59");
        check(4_107_542_400, "Mon Mar 01 00:00:00 2100", "2100-03-01 00:00:00");
    }

    /// Goal: only readable characters of a reference id are shown.
    #[test]
    fn reference_ids_have_names() {
        assert_eq!(reference_name(0x4750_5300), "GPS");
        assert_eq!(reference_name(0x7f7f_0101), "");
    }
}
