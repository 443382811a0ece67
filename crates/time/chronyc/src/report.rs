//! The reports, from a reply to the text that is printed.

use chrony_cmd::{
    Activity, Address, AuthData, AuthMode, ClientAccess, LeapStatus, ManualSample, NtpData, RtcData,
    SelectData, SelectOptions, ServerStats, Smoothing, SourceData, SourceMode, SourceState, SourceStats,
    Tracking,
};

use crate::cell::{Cell, Report, log_time, reference_name};

/// What stands above a table with `-v`: arrows into its columns.
pub(crate) struct Legend {
    /// Lines that do not point into a column behind the names.
    pub fixed: &'static str,
    /// Lines that do,
    pub moved: &'static str,
    /// and what stands before the names' end in each of them, in characters.
    pub margin: usize,
}

pub(crate) const SOURCES_LEGEND: Legend = Legend {
    fixed: r"
  .-- Source mode  '^' = server, '=' = peer, '#' = local clock.
 / .- Source state '*' = current best, '+' = combined, '-' = not combined,
| /             'x' = may be in error, '~' = too variable, '?' = unusable.
",
    moved: r"||                                                 .- xxxx [ yyyy ] +/- zzzz
||      Reachability register (octal) -.           |  xxxx = adjusted offset,
||      Log2(Polling interval) --.      |          |  yyyy = measured offset,
||                                \     |          |  zzzz = estimated error.
||                                 |    |           \
",
    margin: 4,
};
pub(crate) const SOURCES_HEADING: &str =
    "MS Name/IP address         Stratum Poll Reach LastRx Last sample               ";

pub(crate) const SOURCESTATS_LEGEND: Legend = Legend {
    fixed: "",
    moved: r"                             .- Number of sample points in measurement set.
                            /    .- Number of residual runs with same sign.
                           |    /    .- Length of measurement set (time).
                           |   |    /      .- Est. clock freq error (ppm).
                           |   |   |      /           .- Est. error in freq.
                           |   |   |     |           /         .- Est. offset.
                           |   |   |     |          |          |   On the -.
                           |   |   |     |          |          |   samples. \
                           |   |   |     |          |          |             |
",
    margin: 0,
};
pub(crate) const SOURCESTATS_HEADING: &str =
    "Name/IP Address            NP  NR  Span  Frequency  Freq Skew  Offset  Std Dev";

pub(crate) const SELECTDATA_LEGEND: Legend = Legend {
    fixed: r"  . State: N - noselect, s - unsynchronised, M - missing samples, r - stratum
 /         d/D - large distance, ~ - jittery, w/W - waits for others,
|          S - stale, O - orphan, T - not trusted, P - not preferred,
|          U - waits for update, x - falseticker, + - combined, * - best.
",
    moved: r"|   Effective options   ---------.  (N - noselect, P - prefer
|   Configured options  ----.     \  T - trust, R - require)
|   Auth. enabled (Y/N) -.   \     \     Offset interval --.
|                        |    |     |                       |
",
    margin: 1,
};
pub(crate) const SELECTDATA_HEADING: &str =
    "S Name/IP Address        Auth COpts EOpts Last Score     Interval  Leap";

pub(crate) const AUTHDATA_LEGEND: Legend = Legend {
    fixed: "",
    moved: r"                             .- Auth. mechanism (NTS, SK - symmetric key)
                            |   Key length -.  Cookie length (bytes) -.
                            |       (bits)  |  Num. of cookies --.    |
                            |               |  Key est. attempts  |   |
                            |               |           |         |   |
",
    margin: 0,
};
pub(crate) const AUTHDATA_HEADING: &str =
    "Name/IP address             Mode KeyID Type KLen Last Atmp  NAK Cook CLen";

pub(crate) const MANUAL_LIST_HEADING: &str = "#    Date     Time(UTC)    Slewed   Original   Residual";

pub(crate) fn clients_heading(nts_ke: bool) -> String {
    let second = if nts_ke { "NTS-KE" } else { "Cmd" };
    format!("Hostname                      NTP   Drop Int IntL Last  {second:>6}   Drop Int  Last")
}

pub(crate) fn tracking(csv: bool, data: &Tracking, name: &str) -> String {
    Report::new(csv)
        .text("Reference ID    : ")
        .cell(Cell::ReferenceId(data.reference_id))
        .text(" (")
        .cell(Cell::Left(name.to_owned(), 0))
        .text(")\nStratum         : ")
        .cell(Cell::Number(data.stratum.into(), 0))
        .text("\nRef time (UTC)  : ")
        .cell(Cell::Time(data.reference_time))
        .text("\nSystem time     : ")
        .cell(Cell::ClockOffset(data.current_correction.0))
        .text(" of NTP time\nLast offset     : ")
        .cell(Cell::Signed(data.last_offset.0, 9))
        .text(" seconds\nRMS offset      : ")
        .cell(Cell::Fixed(data.rms_offset.0, 0, 9))
        .text(" seconds\nFrequency       : ")
        .cell(Cell::ClockFrequency(data.frequency_ppm.0))
        .text("\nResidual freq   : ")
        .cell(Cell::Signed(data.residual_frequency_ppm.0, 3))
        .text(" ppm\nSkew            : ")
        .cell(Cell::Fixed(data.skew_ppm.0, 0, 3))
        .text(" ppm\nRoot delay      : ")
        .cell(Cell::Fixed(data.root_delay.0, 0, 9))
        .text(" seconds\nRoot dispersion : ")
        .cell(Cell::Fixed(data.root_dispersion.0, 0, 9))
        .text(" seconds\nUpdate interval : ")
        .cell(Cell::Fixed(data.update_interval.0, 0, 1))
        .text(" seconds\nLeap status     : ")
        .cell(Cell::Leap(data.leap))
        .end()
}

/// One try of `waitsync`.
pub(crate) fn waitsync_try(csv: bool, number: u32, data: &Tracking) -> String {
    Report::new(csv)
        .text("try: ")
        .cell(Cell::Number(number.into(), 0))
        .text(", refid: ")
        .cell(Cell::ReferenceId(data.reference_id))
        .text(", correction: ")
        .cell(Cell::Fixed(data.current_correction.0.abs(), 0, 9))
        .text(", skew: ")
        .cell(Cell::Fixed(data.skew_ppm.0, 0, 3))
        .end()
}

pub(crate) fn source(csv: bool, data: &SourceData, name: String) -> String {
    let mode = match data.mode {
        SourceMode::Client => '^',
        SourceMode::Peer => '=',
        SourceMode::ReferenceClock => '#',
        SourceMode::Other(_) => ' ',
    };
    let state = match data.state {
        SourceState::Selected => '*',
        SourceState::Nonselectable => '?',
        SourceState::Falseticker => 'x',
        SourceState::Jittery => '~',
        SourceState::Combined => '+',
        SourceState::NotCombined => '-',
        SourceState::Other(_) => ' ',
    };
    Report::new(csv)
        .cell(Cell::Character(mode))
        .cell(Cell::Character(state))
        .text(" ")
        .cell(Cell::Left(name, 27))
        .text("  ")
        .cell(Cell::Number(data.stratum.into(), 2))
        .text("  ")
        .cell(Cell::Number(data.poll.into(), 2))
        .text("   ")
        .cell(Cell::Octal(data.reachability, 3))
        .text("  ")
        .cell(Cell::Ago(data.since_sample))
        .text("  ")
        .cell(Cell::SignedSeconds(data.adjusted_offset.0))
        .text("[")
        .cell(Cell::SignedSeconds(data.original_offset.0))
        .text("] +/- ")
        .cell(Cell::Seconds(data.error.0))
        .end()
}

pub(crate) fn source_stats(csv: bool, data: &SourceStats, name: String) -> String {
    Report::new(csv)
        .cell(Cell::Left(name, 25))
        .text(" ")
        .cell(Cell::Number(data.samples.into(), 3))
        .text(" ")
        .cell(Cell::Number(data.runs.into(), 3))
        .text("  ")
        .cell(Cell::Ago(data.span_seconds))
        .text(" ")
        .cell(Cell::SignedPpm(data.residual_frequency_ppm.0))
        .text(" ")
        .cell(Cell::Ppm(data.skew_ppm.0))
        .text("  ")
        .cell(Cell::SignedSeconds(data.offset.0))
        .text("  ")
        .cell(Cell::Seconds(data.standard_deviation.0))
        .end()
}

pub(crate) fn activity(csv: bool, data: &Activity) -> String {
    Report::new(csv)
        .text("200 OK\n")
        .cell(Cell::Number(data.online.into(), 0))
        .text(" sources online\n")
        .cell(Cell::Number(data.offline.into(), 0))
        .text(" sources offline\n")
        .cell(Cell::Number(data.burst_online.into(), 0))
        .text(" sources doing burst (return to online)\n")
        .cell(Cell::Number(data.burst_offline.into(), 0))
        .text(" sources doing burst (return to offline)\n")
        .cell(Cell::Number(data.unresolved.into(), 0))
        .text(" sources with unknown address")
        .end()
}

pub(crate) fn select_data(csv: bool, data: &SelectData, name: String) -> String {
    let mut report = Report::new(csv)
        .cell(Cell::Character(data.state.into()))
        .text(" ")
        .cell(Cell::Left(name, 25))
        .text(" ")
        .cell(Cell::Character(if data.authenticated == 0 { 'N' } else { 'Y' }));
    for options in [data.configured, data.effective] {
        let marks = [
            (SelectOptions::NOSELECT, 'N'),
            (SelectOptions::PREFER, 'P'),
            (SelectOptions::TRUST, 'T'),
            (SelectOptions::REQUIRE, 'R'),
        ];
        report = report.text(" ");
        for (option, mark) in marks {
            report = report.cell(Cell::Character(if options.contains(option) { mark } else { '-' }));
        }
        report = report.cell(Cell::Character('-'));
    }
    report
        .text(" ")
        .cell(Cell::Ago(data.last_sample_ago))
        .text(" ")
        .cell(Cell::Fixed(data.score.0, 5, 1))
        .text(" ")
        .cell(Cell::SignedSeconds(data.offset_min.0))
        .text(" ")
        .cell(Cell::SignedSeconds(data.offset_max.0))
        .text("  ")
        .cell(Cell::LeapMark(LeapStatus::from_code(data.leap.into())))
        .end()
}

pub(crate) fn auth_data(csv: bool, data: &AuthData, name: String) -> String {
    let mode = match data.mode {
        AuthMode::None => "-",
        AuthMode::Symmetric => "SK",
        AuthMode::Nts => "NTS",
        AuthMode::Other(_) => "?",
    };
    Report::new(csv)
        .cell(Cell::Left(name, 27))
        .text(" ")
        .cell(Cell::Right(mode.to_owned(), 4))
        .text(" ")
        .cell(Cell::Number(data.key_id.into(), 5))
        .text(" ")
        .cell(Cell::Number(data.key_type.into(), 4))
        .text(" ")
        .cell(Cell::Number(data.key_length.into(), 4))
        .text(" ")
        .cell(Cell::Ago(data.last_ke_ago))
        .text(" ")
        .cell(Cell::Number(data.ke_attempts.into(), 4))
        .text(" ")
        .cell(Cell::Number(data.nak.into(), 4))
        .text(" ")
        .cell(Cell::Number(data.cookies.into(), 4))
        .text(" ")
        .cell(Cell::Number(data.cookie_length.into(), 4))
        .end()
}

pub(crate) fn ntp_data(csv: bool, data: &NtpData) -> String {
    let packet = &data.packet;
    let word = |text: &str| Cell::Left(text.to_owned(), 0);
    let address = |address: Address| Cell::Left(address.to_string(), 0);
    let count = |count: u32| Cell::Number(count.into(), 0);
    let mode = match packet.mode {
        1 => "Symmetric active",
        2 => "Symmetric passive",
        4 => "Server",
        _ => "Invalid",
    };
    let stamp = |code: u8| {
        word(match code {
            b'D' => "Daemon",
            b'K' => "Kernel",
            b'H' => "Hardware",
            _ => "Invalid",
        })
    };
    // Exponents beyond 31 are shown as 31, as chronyc does.
    let seconds = |log2: i8| 2f64.powi(i32::from(log2).clamp(-31, 31));
    let report = Report::new(csv)
        .text("Remote address  : ")
        .cell(address(packet.remote_address))
        .text(" (")
        .cell(Cell::ReferenceId(packet.remote_address.reference_id()))
        .text(")\nRemote port     : ")
        .cell(Cell::Number(packet.remote_port.into(), 0))
        .text("\nLocal address   : ")
        .cell(address(packet.local_address))
        .text(" (")
        .cell(Cell::ReferenceId(packet.local_address.reference_id()))
        .text(")\nLeap status     : ")
        .cell(Cell::Leap(LeapStatus::from_code(packet.leap.into())))
        .text("\nVersion         : ")
        .cell(Cell::Number(packet.version.into(), 0))
        .text("\nMode            : ")
        .cell(word(mode))
        .text("\nStratum         : ")
        .cell(Cell::Number(packet.stratum.into(), 0))
        .text("\nPoll interval   : ")
        .cell(Cell::Number(packet.poll.into(), 0))
        .text(" (")
        .cell(Cell::Fixed(seconds(packet.poll), 0, 0))
        .text(" seconds)\nPrecision       : ")
        .cell(Cell::Number(packet.precision.into(), 0))
        .text(" (")
        .cell(Cell::Fixed(seconds(packet.precision), 0, 9))
        .text(" seconds)\nRoot delay      : ")
        .cell(Cell::Fixed(packet.root_delay.0, 0, 6))
        .text(" seconds\nRoot dispersion : ")
        .cell(Cell::Fixed(packet.root_dispersion.0, 0, 6))
        .text(" seconds\nReference ID    : ")
        .cell(Cell::ReferenceId(packet.reference_id))
        .text(" (")
        .cell(word(&if packet.stratum <= 1 { reference_name(packet.reference_id) } else { String::new() }))
        .text(")\nReference time  : ")
        .cell(Cell::Time(packet.reference_time))
        .text("\nOffset          : ")
        .cell(Cell::Signed(packet.offset.0, 9))
        .text(" seconds\nPeer delay      : ")
        .cell(Cell::Fixed(packet.peer_delay.0, 0, 9))
        .text(" seconds\nPeer dispersion : ")
        .cell(Cell::Fixed(packet.peer_dispersion.0, 0, 9))
        .text(" seconds\nResponse time   : ")
        .cell(Cell::Fixed(packet.response_time.0, 0, 9))
        .text(" seconds\nJitter asymmetry: ")
        .cell(Cell::Signed(packet.jitter_asymmetry.0, 2))
        .text("\nNTP tests       : ")
        .cell(Cell::Bits(packet.flags >> 7, 3))
        .text(" ")
        .cell(Cell::Bits(packet.flags >> 4, 3))
        .text(" ")
        .cell(Cell::Bits(packet.flags, 4))
        .text("\nInterleaved     : ")
        .cell(Cell::Flag(packet.is_interleaved()))
        .text("\nAuthenticated   : ")
        .cell(Cell::Flag(packet.is_authenticated()))
        .text("\nTX timestamping : ")
        .cell(stamp(packet.transmit_stamp))
        .text("\nRX timestamping : ")
        .cell(stamp(packet.receive_stamp))
        .text("\nTotal TX        : ")
        .cell(count(packet.sent))
        .text("\nTotal RX        : ")
        .cell(count(packet.received))
        .text("\nTotal valid RX  : ")
        .cell(count(packet.valid))
        .text("\nTotal good RX   : ")
        .cell(count(packet.good));
    match data.timestamps {
        None => report,
        Some(stamps) => report
            .text("\nTotal kernel TX : ")
            .cell(count(stamps.kernel_sent))
            .text("\nTotal kernel RX : ")
            .cell(count(stamps.kernel_received))
            .text("\nTotal HW TX     : ")
            .cell(count(stamps.hardware_sent))
            .text("\nTotal HW RX     : ")
            .cell(count(stamps.hardware_received)),
    }
    .end()
}

pub(crate) fn server_stats(csv: bool, stats: &ServerStats) -> String {
    let packets = &stats.packets;
    let mut rows = vec![
        ("NTP packets received       : ", packets.ntp_received),
        ("NTP packets dropped        : ", packets.ntp_dropped),
        ("Command packets received   : ", packets.commands_received),
        ("Command packets dropped    : ", packets.commands_dropped),
        ("Client log records dropped : ", packets.client_records_dropped),
        ("NTS-KE connections accepted: ", packets.nts_ke_accepted),
        ("NTS-KE connections dropped : ", packets.nts_ke_dropped),
        ("Authenticated NTP packets  : ", packets.ntp_authenticated),
        ("Interleaved NTP packets    : ", packets.ntp_interleaved),
        ("NTP timestamps held        : ", packets.timestamps_held),
        ("NTP timestamp span         : ", packets.timestamp_span),
    ];
    if let Some(stamps) = &stats.timestamps {
        rows.extend([
            ("NTP daemon RX timestamps   : ", stamps.daemon_received),
            ("NTP daemon TX timestamps   : ", stamps.daemon_sent),
            ("NTP kernel RX timestamps   : ", stamps.kernel_received),
            ("NTP kernel TX timestamps   : ", stamps.kernel_sent),
            ("NTP hardware RX timestamps : ", stamps.hardware_received),
            ("NTP hardware TX timestamps : ", stamps.hardware_sent),
        ]);
    }
    let mut report = Report::new(csv);
    for (index, (label, counter)) in rows.into_iter().enumerate() {
        report = report.text(if index == 0 { "" } else { "\n" }).text(label).cell(Cell::Counter(counter));
    }
    report.end()
}

pub(crate) fn rtc_data(csv: bool, data: &RtcData) -> String {
    Report::new(csv)
        .text("RTC ref time (UTC) : ")
        .cell(Cell::Time(data.reference_time))
        .text("\nNumber of samples  : ")
        .cell(Cell::Number(data.samples.into(), 0))
        .text("\nNumber of runs     : ")
        .cell(Cell::Number(data.runs.into(), 0))
        .text("\nSample span period : ")
        .cell(Cell::Ago(data.span_seconds))
        .text("\nRTC is fast by     : ")
        .cell(Cell::Fixed(data.fast_by.0, 12, 6))
        .text(" seconds\nRTC gains time at  : ")
        .cell(Cell::Fixed(data.gain_rate_ppm.0, 9, 3))
        .text(" ppm")
        .end()
}

pub(crate) fn smoothing(csv: bool, data: &Smoothing) -> String {
    let leap_only = if data.flags & 2 == 0 { "" } else { "(leap second only)" };
    Report::new(csv)
        .text("Active         : ")
        .cell(Cell::Flag(data.flags & 1 != 0))
        .text(" ")
        .cell(Cell::Left(leap_only.to_owned(), 0))
        .text("\nOffset         : ")
        .cell(Cell::Signed(data.offset.0, 9))
        .text(" seconds\nFrequency      : ")
        .cell(Cell::Signed(data.frequency_ppm.0, 6))
        .text(" ppm\nWander         : ")
        .cell(Cell::Signed(data.wander_ppm.0, 6))
        .text(" ppm per second\nLast update    : ")
        .cell(Cell::Fixed(data.last_update_ago.0, 0, 1))
        .text(" seconds ago\nRemaining time : ")
        .cell(Cell::Fixed(data.remaining_time.0, 0, 1))
        .text(" seconds")
        .end()
}

pub(crate) fn client(csv: bool, data: &ClientAccess, name: String, nts_ke: bool) -> String {
    let (hits, drops, interval, ago) = if nts_ke {
        (data.nts_ke_hits, data.nts_ke_drops, data.nts_ke_interval, data.last_nts_ke_ago)
    } else {
        (data.command_hits, data.command_drops, data.command_interval, data.last_command_ago)
    };
    Report::new(csv)
        .cell(Cell::Left(name, 25))
        .text("  ")
        .cell(Cell::Number(data.ntp_hits.into(), 6))
        .text("  ")
        .cell(Cell::Number(data.ntp_drops.into(), 5))
        .text("  ")
        .cell(Cell::ClientInterval(data.ntp_interval))
        .text("  ")
        .cell(Cell::ClientInterval(data.ntp_timeout_interval))
        .text("  ")
        .cell(Cell::Ago(data.last_ntp_ago))
        .text("  ")
        .cell(Cell::Number(hits.into(), 6))
        .text("  ")
        .cell(Cell::Number(drops.into(), 5))
        .text("  ")
        .cell(Cell::ClientInterval(interval))
        .text("  ")
        .cell(Cell::Ago(ago))
        .end()
}

/// What a time given by hand did.
pub(crate) fn manual_timestamp(data: &chrony_cmd::ManualTimestamp) -> String {
    format!(
        "Clock was {:.2} seconds fast.  Frequency change = {:.2}ppm, new frequency = {:.2}ppm\n",
        data.offset.0, data.frequency_change_ppm.0, data.frequency_ppm.0
    )
}

pub(crate) fn manual_sample(csv: bool, index: usize, data: &ManualSample) -> String {
    Report::new(csv)
        .cell(Cell::Number(index as i64, 2))
        .text(" ")
        .cell(Cell::Left(log_time(data.when), 0))
        .text(" ")
        .cell(Cell::Fixed(data.slewed_offset.0, 10, 2))
        .text(" ")
        .cell(Cell::Fixed(data.original_offset.0, 10, 2))
        .text(" ")
        .cell(Cell::Fixed(data.residual.0, 10, 2))
        .end()
}

/// A line with one word.
pub(crate) fn word(text: &str) -> String {
    Report::new(false).cell(Cell::Left(text.to_owned(), 0)).end()
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrony_cmd::{Float, NtpPacket, ServerPackets, ServerTimestamps, Timespec};

    /// Each report for people and for programs.
    fn check(report: impl Fn(bool) -> String, text: &str, csv: &str) {
        assert_eq!(report(false), text);
        assert_eq!(report(true), csv);
    }

    fn local() -> Address {
        Address::V4(std::net::Ipv4Addr::LOCALHOST)
    }

    /// Goal: the report of the clock, byte by byte. The texts of this module were printed by chronyc 4.3.
    #[test]
    fn tracking_prints_as_chronyc_prints_it() {
        let data = Tracking {
            reference_id: 0x7f00_0001,
            address: local(),
            stratum: 6,
            leap: LeapStatus::Normal,
            reference_time: Timespec { seconds: 1_795_364_254, nanoseconds: 346_946_203 },
            current_correction: Float(-0.000001275),
            last_offset: Float(0.000000107),
            rms_offset: Float(0.000000107),
            frequency_ppm: Float(0.001),
            residual_frequency_ppm: Float(0.0),
            skew_ppm: Float(1.96),
            root_delay: Float(0.00000577),
            root_dispersion: Float(0.000008732),
            update_interval: Float(2.0),
        };
        check(
            |csv| tracking(csv, &data, if csv { "127.0.0.1" } else { "localhost" }),
            "Reference ID    : 7F000001 (localhost)\n\
             Stratum         : 6\n\
             Ref time (UTC)  : Sun Nov 22 16:17:34 2026\n\
             System time     : 0.000001275 seconds fast of NTP time\n\
             Last offset     : +0.000000107 seconds\n\
             RMS offset      : 0.000000107 seconds\n\
             Frequency       : 0.001 ppm fast\n\
             Residual freq   : +0.000 ppm\n\
             Skew            : 1.960 ppm\n\
             Root delay      : 0.000005770 seconds\n\
             Root dispersion : 0.000008732 seconds\n\
             Update interval : 2.0 seconds\n\
             Leap status     : Normal\n",
            "7F000001,127.0.0.1,6,1795364254.346946203,-0.000001275,0.000000107,0.000000107,0.001,0.000,1.960,\
             0.000005770,0.000008732,2.0,Normal\n",
        );
        check(
            |csv| waitsync_try(csv, 1, &data),
            "try: 1, refid: 7F000001, correction: 0.000001275, skew: 1.960\n",
            "1,7F000001,0.000001275,1.960\n",
        );
    }

    /// Goal: the columns of sources.
    #[test]
    fn sources_stand_in_their_columns() {
        let mut data = SourceData {
            address: local(),
            poll: 6,
            stratum: 5,
            state: SourceState::Selected,
            mode: SourceMode::Client,
            flags: 0,
            reachability: 0o17,
            since_sample: 3,
            original_offset: Float(107e-9),
            adjusted_offset: Float(-0.2e-9),
            error: Float(2958e-9),
        };
        check(
            |csv| source(csv, &data, "localhost".to_owned()),
            "^* localhost                     5   6    17     3     -0ns[ +107ns] +/- 2958ns\n",
            "^,*,localhost,5,6,17,3,-0.000000000,0.000000107,0.000002958\n",
        );
        data = SourceData {
            state: SourceState::Nonselectable,
            stratum: 0,
            reachability: 0,
            since_sample: u32::MAX,
            original_offset: Float(0.0),
            adjusted_offset: Float(0.0),
            error: Float(0.0),
            ..data
        };
        check(
            |csv| source(csv, &data, "ID#0000000001".to_owned()),
            "^? ID#0000000001                 0   6     0     -     +0ns[   +0ns] +/-    0ns\n",
            "^,?,ID#0000000001,0,6,0,4294967295,0.000000000,0.000000000,0.000000000\n",
        );
    }

    /// Goal: the columns of statistics, with the numbers of a source that has none.
    #[test]
    fn statistics_stand_in_their_columns() {
        let data = SourceStats {
            reference_id: 0x7f00_0002,
            address: local(),
            samples: 0,
            runs: 0,
            span_seconds: 0,
            standard_deviation: Float(4.0),
            residual_frequency_ppm: Float(0.0),
            skew_ppm: Float(2000.0),
            offset: Float(0.0),
            offset_error: Float(0.0),
        };
        check(
            |csv| source_stats(csv, &data, "127.0.0.2".to_owned()),
            "127.0.0.2                   0   0     0     +0.000   2000.000     +0ns  4000ms\n",
            "127.0.0.2,0,0,0,0.000,2000.000,0.000000000,4.000000000\n",
        );
    }

    /// Goal: activity, with the line that only people get.
    #[test]
    fn activity_prints_as_chronyc_prints_it() {
        let data = Activity { online: 1, offline: 1, burst_online: 0, burst_offline: 0, unresolved: 4 };
        check(
            |csv| activity(csv, &data),
            "200 OK\n1 sources online\n1 sources offline\n0 sources doing burst (return to online)\n\
             0 sources doing burst (return to offline)\n4 sources with unknown address\n",
            "1,1,0,0,4\n",
        );
    }

    /// Goal: the columns of the selection and of authentication.
    #[test]
    fn selection_and_authentication_stand_in_their_columns() {
        let data = SelectData {
            reference_id: 0x7f00_0001,
            address: local(),
            state: b'*',
            authenticated: 0,
            leap: 0,
            unused: 0,
            configured: SelectOptions::default().with(SelectOptions::PREFER, true),
            effective: SelectOptions::default(),
            last_sample_ago: 0,
            score: Float(1.0),
            offset_min: Float(-2851e-9),
            offset_max: Float(3065e-9),
        };
        check(
            |csv| select_data(csv, &data, "localhost".to_owned()),
            "* localhost                 N -P--- -----    0   1.0 -2851ns +3065ns  N\n",
            "*,localhost,N,-,P,-,-,-,-,-,-,-,-,0,1.0,-0.000002851,0.000003065,Normal\n",
        );
        let data = AuthData {
            mode: AuthMode::None,
            key_type: 0,
            key_id: 0,
            key_length: 0,
            ke_attempts: 0,
            last_ke_ago: u32::MAX,
            cookies: 0,
            cookie_length: 0,
            nak: 0,
            unused: 0,
        };
        check(
            |csv| auth_data(csv, &data, "127.0.0.2".to_owned()),
            "127.0.0.2                      -     0    0    0    -    0    0    0    0\n",
            "127.0.0.2,-,0,0,0,4294967295,0,0,0,0\n",
        );
    }

    /// Goal: the report of a packet, in the form of each version.
    #[test]
    fn a_packet_prints_as_chronyc_prints_it() {
        let packet = NtpPacket {
            remote_address: local(),
            local_address: local(),
            remote_port: 12399,
            leap: 0,
            version: 4,
            mode: 4,
            stratum: 5,
            poll: 6,
            precision: -25,
            root_delay: Float(0.0),
            root_dispersion: Float(0.0),
            reference_id: 0x7f7f_0101,
            reference_time: Timespec { seconds: 1_795_364_247, nanoseconds: 388_707_708 },
            offset: Float(-107e-9),
            peer_delay: Float(5770e-9),
            peer_dispersion: Float(73e-9),
            response_time: Float(58_277e-9),
            jitter_asymmetry: Float(0.0),
            flags: NtpPacket::flags(0x3ff, false, false),
            transmit_stamp: b'K',
            receive_stamp: b'K',
            sent: 4,
            received: 4,
            valid: 4,
            good: 4,
        };
        let csv = "127.0.0.1,7F000001,12399,127.0.0.1,7F000001,Normal,4,Server,5,6,64,-25,0.000000030,0.000000,0.000000,\
                   7F7F0101,,1795364247.388707708,-0.000000107,0.000005770,0.000000073,0.000058277,0.00,111,111,1111,No,No,\
                   Kernel,Kernel,4,4,4,4\n";
        let text = "Remote address  : 127.0.0.1 (7F000001)\n\
                    Remote port     : 12399\n\
                    Local address   : 127.0.0.1 (7F000001)\n\
                    Leap status     : Normal\n\
                    Version         : 4\n\
                    Mode            : Server\n\
                    Stratum         : 5\n\
                    Poll interval   : 6 (64 seconds)\n\
                    Precision       : -25 (0.000000030 seconds)\n\
                    Root delay      : 0.000000 seconds\n\
                    Root dispersion : 0.000000 seconds\n\
                    Reference ID    : 7F7F0101 ()\n\
                    Reference time  : Sun Nov 22 16:17:27 2026\n\
                    Offset          : -0.000000107 seconds\n\
                    Peer delay      : 0.000005770 seconds\n\
                    Peer dispersion : 0.000000073 seconds\n\
                    Response time   : 0.000058277 seconds\n\
                    Jitter asymmetry: +0.00\n\
                    NTP tests       : 111 111 1111\n\
                    Interleaved     : No\n\
                    Authenticated   : No\n\
                    TX timestamping : Kernel\n\
                    RX timestamping : Kernel\n\
                    Total TX        : 4\n\
                    Total RX        : 4\n\
                    Total valid RX  : 4\n\
                    Total good RX   : 4\n";
        let older = NtpData { packet: packet.clone(), timestamps: None };
        check(|csv| ntp_data(csv, &older), text, csv);
        let newer = NtpData { packet, timestamps: Some(chrony_cmd::NtpTimestamps::default()) };
        let more = "Total kernel TX : 0\nTotal kernel RX : 0\nTotal HW TX     : 0\nTotal HW RX     : 0\n";
        check(
            |csv| ntp_data(csv, &newer),
            &format!("{text}{more}"),
            &format!("{},0,0,0,0\n", csv.trim_end()),
        );
    }

    /// Goal: the server's counters stand in chronyc's order, which is not the protocol's.
    #[test]
    fn counters_stand_in_their_order() {
        let packets = ServerPackets {
            ntp_received: 1,
            nts_ke_accepted: 6,
            commands_received: 3,
            ntp_dropped: 2,
            nts_ke_dropped: 7,
            commands_dropped: 4,
            client_records_dropped: 5,
            ntp_authenticated: 8,
            ntp_interleaved: 9,
            timestamps_held: 10,
            timestamp_span: 11,
        };
        let older = ServerStats { packets, timestamps: None };
        assert_eq!(server_stats(true, &older), "1,2,3,4,5,6,7,8,9,10,11\n");
        assert!(
            server_stats(false, &older)
                .starts_with("NTP packets received       : 1\nNTP packets dropped        : 2\n")
        );
        let newer = ServerStats { packets, timestamps: Some(ServerTimestamps::default()) };
        assert_eq!(server_stats(true, &newer), "1,2,3,4,5,6,7,8,9,10,11,0,0,0,0,0,0\n");
    }
}
