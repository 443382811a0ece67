//! The table of commands: each with its number, its data, its reply and who may send it.

use crate::request::{
    AccessRule, Burst, ClientPage, LocalMode, LocalModeShort, MakestepRule, NewSource, Request,
    SelectOptionsChange, SourceFloat, SourceInteger, SourceOffset, Subnet,
};
use crate::wire::{Address, Float, Reader, Timespec, Wire};
use crate::{REPLY_HEADER_LENGTH, REQUEST_HEADER_LENGTH, reply};

/// A name for a variant's payload in a pattern.
macro_rules! binding {
    ($name:ident $t:ty) => {
        $name
    };
}

macro_rules! commands {
    ($($(#[$doc:meta])* $name:ident $(($payload:ty))? = $code:literal, $open:literal, $reply:expr;)*) => {
        /// A command's number.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        #[repr(u16)]
        pub enum Command { $($(#[$doc])* $name = $code,)* }

        impl Command {
            /// Every command that this crate knows.
            pub const ALL: &[Self] = &[$(Self::$name,)*];

            /// The command of a number; none for numbers that were never or are no longer used.
            pub fn from_code(code: u16) -> Option<Self> {
                match code {
                    $($code => Some(Self::$name),)*
                    _ => None,
                }
            }

            /// Whether it is answered over UDP too, unless `opencommands` says otherwise.
            pub(crate) fn is_open_by_default(self) -> bool {
                match self { $(Self::$name => $open,)* }
            }

            /// Bytes of data in the request, before padding.
            pub(crate) fn data_length(self) -> usize {
                match self { $(Self::$name => 0 $(+ <$payload as Wire>::LENGTH)?,)* }
            }

            /// Bytes of data in the reply: in its oldest and in its newest form.
            fn reply_data_lengths(self) -> (usize, usize) {
                match self { $(Self::$name => $reply,)* }
            }

            pub(crate) fn take(self, input: &mut Reader<'_>) -> Option<Request> {
                Some(match self { $(Self::$name => Request::$name $((input.take::<$payload>()?))?,)* })
            }
        }

        impl Request {
            /// Which command it is.
            pub fn command(&self) -> Command {
                match self { $(Self::$name { .. } => Command::$name,)* }
            }

            pub(crate) fn put(&self, out: &mut Vec<u8>) {
                match self {
                    $(Self::$name $((binding!(payload $payload)))? => { $(<$payload as Wire>::put(payload, out);)? })*
                }
            }
        }
    };
}

const NULL: (usize, usize) = (0, 0);
const fn only(length: usize) -> (usize, usize) {
    (length, length)
}

commands! {
    /// Sources of a subnet go online.
    Online(Subnet) = 1, false, NULL;
    /// Sources of a subnet go offline.
    Offline(Subnet) = 2, false, NULL;
    /// Sources of a subnet measure quickly.
    Burst(Burst) = 3, false, NULL;
    /// A source's shortest poll.
    ModifyMinpoll(SourceInteger) = 4, false, NULL;
    /// A source's longest poll.
    ModifyMaxpoll(SourceInteger) = 5, false, NULL;
    /// Measurements and cookies are written to `dumpdir`.
    Dump(u32) = 6, false, NULL;
    /// A source's longest delay.
    ModifyMaxdelay(SourceFloat) = 7, false, NULL;
    /// A source's longest delay as a multiple of its shortest.
    ModifyMaxdelayratio(SourceFloat) = 8, false, NULL;
    /// The largest skew that still updates the frequency.
    ModifyMaxupdateskew(Float) = 9, false, NULL;
    /// The time is given by hand.
    Settime(Timespec) = 11, false, only(reply::ManualTimestamp::LENGTH);
    /// `manual off|on|reset`.
    Manual(i32) = 13, false, NULL;
    /// How many sources there are.
    NSources = 14, true, only(4);
    /// The report of one source.
    SourceData(u32) = 15, true, only(reply::SourceData::LENGTH);
    /// The keys are read again.
    Rekey = 16, false, NULL;
    /// NTP access of a subnet.
    Allow(AccessRule) = 17, false, NULL;
    /// NTP access of a subnet and of all within it.
    AllowAll(AccessRule) = 18, false, NULL;
    /// No NTP access of a subnet.
    Deny(AccessRule) = 19, false, NULL;
    /// No NTP access of a subnet and of all within it.
    DenyAll(AccessRule) = 20, false, NULL;
    /// Command access of a subnet.
    CmdAllow(AccessRule) = 21, false, NULL;
    /// Command access of a subnet and of all within it.
    CmdAllowAll(AccessRule) = 22, false, NULL;
    /// No command access of a subnet.
    CmdDeny(AccessRule) = 23, false, NULL;
    /// No command access of a subnet and of all within it.
    CmdDenyAll(AccessRule) = 24, false, NULL;
    /// Whether an address has NTP access.
    AccessCheck(Address) = 25, false, NULL;
    /// Whether an address has command access.
    CmdAccessCheck(Address) = 26, false, NULL;
    /// A source goes away.
    DeleteSource(Address) = 29, false, NULL;
    /// The parameters of the real-time clock are saved.
    WriteRtc = 30, false, NULL;
    /// The frequency is changed by so many parts per million.
    ChangeFrequency(Float) = 31, false, NULL;
    /// The report of the system clock.
    Tracking = 33, true, only(reply::Tracking::LENGTH);
    /// The report of one source's measurements.
    SourceStats(u32) = 34, true, only(reply::SourceStats::LENGTH);
    /// The report of the real-time clock.
    RtcReport = 35, true, only(reply::RtcData::LENGTH);
    /// The real-time clock is set.
    TrimRtc = 36, false, NULL;
    /// Log files are closed and opened again.
    CycleLogs = 37, false, NULL;
    /// The times given by hand.
    ManualList = 41, true, only(reply::MANUAL_LIST_LENGTH);
    /// One time given by hand is forgotten.
    ManualDelete(i32) = 42, false, NULL;
    /// The clock is stepped now.
    Makestep = 43, false, NULL;
    /// How many sources are online and offline.
    Activity = 44, true, only(reply::Activity::LENGTH);
    /// A source's lowest stratum.
    ModifyMinstratum(SourceInteger) = 45, false, NULL;
    /// A source's wanted number of samples.
    ModifyPolltarget(SourceInteger) = 46, false, NULL;
    /// A source's longest delay in deviations.
    ModifyMaxdelaydevratio(SourceFloat) = 47, false, NULL;
    /// The best source is chosen anew.
    Reselect = 48, false, NULL;
    /// How far away another source must be to be chosen, in seconds.
    ReselectDistance(Float) = 49, false, NULL;
    /// When the clock may be stepped.
    ModifyMakestep(MakestepRule) = 50, false, NULL;
    /// The report of time smoothing.
    Smoothing = 51, true, only(reply::Smoothing::LENGTH);
    /// Time smoothing is reset (0) or activated (1).
    Smoothtime(i32) = 52, false, NULL;
    /// Names are resolved again.
    Refresh = 53, false, NULL;
    /// The server's counters.
    ServerStats = 54, false, (reply::SERVER_STATS3_LENGTH, reply::SERVER_STATS4_LENGTH);
    /// `local`, as chrony 4.3 says it.
    LocalShort(LocalModeShort) = 56, false, NULL;
    /// The last packet of a source.
    NtpData(Address) = 57, false, (reply::NTP_DATA_LENGTH, reply::NTP_DATA2_LENGTH);
    /// The daemon ends.
    Shutdown = 62, false, NULL;
    /// Sources go online or offline as the network is.
    Onoffline = 63, false, NULL;
    /// A new source.
    AddSource(Box<NewSource>) = 64, false, NULL;
    /// The name by which a source was configured.
    SourceName(Address) = 65, true, only(256);
    /// All measurements are dropped.
    ResetSources = 66, false, NULL;
    /// The report of a source's authentication.
    AuthData(Address) = 67, false, only(reply::AuthData::LENGTH);
    /// A page of the clients.
    ClientAccesses(ClientPage) = 68, false, only(reply::CLIENT_ACCESSES_LENGTH);
    /// Why a source is or is not selected.
    SelectData(u32) = 69, false, only(reply::SelectData::LENGTH);
    /// `*.sources` files are read again.
    ReloadSources = 70, false, NULL;
    /// The clock is shifted by so many seconds.
    ChangeOffset(Float) = 71, false, NULL;
    /// A source's selection options.
    ModifySelectOptions(SelectOptionsChange) = 72, false, NULL;
    /// A source's offset correction.
    ModifyOffset(SourceOffset) = 73, false, NULL;
    /// `local`, as chrony 4.6 and later say it.
    Local(LocalMode) = 74, false, NULL;
}

impl Command {
    /// The number on the wire.
    pub fn code(self) -> u16 {
        self as u16
    }

    /// Bytes of a whole request as we send it: padded for the newest reply.
    pub fn request_length(self) -> usize {
        self.padded(self.reply_data_lengths().1)
    }

    /// Bytes below which a request is refused: padded for the oldest reply that we still give.
    pub fn request_length_min(self) -> usize {
        self.padded(self.reply_data_lengths().0)
    }

    fn padded(self, reply_data: usize) -> usize {
        (REQUEST_HEADER_LENGTH + self.data_length()).max(REPLY_HEADER_LENGTH + reply_data)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{REPLY_LENGTH_MAX, REQUEST_LENGTH_MAX};

    /// Goal: the lengths that chrony's own programs send, for commands of every shape.
    #[test]
    fn requests_have_the_lengths_of_the_protocol() {
        let check = |command: Command, min: usize, sent: usize| {
            assert_eq!((command.request_length_min(), command.request_length()), (min, sent), "{command:?}");
        };
        check(Command::Makestep, 28, 28);
        check(Command::NSources, 32, 32);
        check(Command::Tracking, 104, 104);
        check(Command::SourceData, 76, 76);
        check(Command::SourceStats, 84, 84);
        check(Command::Activity, 48, 48);
        check(Command::Online, 60, 60);
        check(Command::ServerStats, 72, 196);
        check(Command::NtpData, 152, 172);
        check(Command::ClientAccesses, 520, 520);
        check(Command::AddSource, 372, 372);
        check(Command::SourceName, 284, 284);
    }

    /// Goal: numbers lead back to their command, and no message is longer than the limits say.
    #[test]
    fn the_table_is_consistent() {
        for &command in Command::ALL {
            assert_eq!(Command::from_code(command.code()), Some(command));
            assert!(command.request_length() <= REQUEST_LENGTH_MAX);
            assert!(REPLY_HEADER_LENGTH + command.reply_data_lengths().1 <= REPLY_LENGTH_MAX);
        }
        assert_eq!(Command::from_code(0), None);
        assert_eq!(Command::from_code(75), None);
    }
}
