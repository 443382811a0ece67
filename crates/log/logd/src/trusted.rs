//! What is known for sure of the sender of a local record: from the kernel's credentials and from /proc, kept for a short while.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use sys::socket::Credentials;

/// Fields of one process, each `NAME=value`.
pub(crate) type Fields = Arc<Vec<Vec<u8>>>;

/// How long what was read of a process is believed; it may run another program by then.
const BELIEVED_FOR: Duration = Duration::from_secs(1);
/// Processes that are kept.
const PROCESSES_MAX: usize = 4096;
/// Bytes of a value that are kept: an attacker chooses the length of a command line (CVE-2018-16864).
const VALUE_BYTES_MAX: usize = 4096;

/// The cache.
#[derive(Default)]
pub(crate) struct Trusted {
    processes: HashMap<Credentials, Known>,
}

struct Known {
    fields: Fields,
    unit: Arc<str>,
    until: Instant,
}

impl Trusted {
    /// The trusted fields of a sender, and what rate limits count by: the unit (or control group), and of root and of whoever runs
    /// this daemon the program too. A stranger makes some of their programs talk (mail makes the mail daemon log), and must not silence
    /// the others with it. Other users have one share, whatever they call their programs.
    pub(crate) fn fields(&mut self, sender: Credentials) -> (Fields, Arc<str>) {
        let now = Instant::now();
        if let Some(known) = self.processes.get(&sender)
            && now < known.until
        {
            return (Arc::clone(&known.fields), Arc::clone(&known.unit));
        }
        let mut fields = Vec::with_capacity(16);
        let (found, unit) = look_up(sender, &mut fields);
        // A process that is gone keeps what was known of it while it lived.
        if !found && let Some(known) = self.processes.get_mut(&sender) {
            known.until = now + BELIEVED_FOR;
            return (Arc::clone(&known.fields), Arc::clone(&known.unit));
        }
        if self.processes.len() >= PROCESSES_MAX {
            self.processes.retain(|_, known| now < known.until);
            if self.processes.len() >= PROCESSES_MAX {
                self.processes.clear();
            }
        }
        let program = fields.iter().find_map(|field| field.strip_prefix(b"_COMM="));
        let unit = match program {
            Some(program) if sender.uid == 0 || sender.uid == sys::process::effective_uid() => {
                format!("{unit} {}", String::from_utf8_lossy(program).replace(char::is_control, "?"))
            }
            _ => unit,
        };
        let known = Known { fields: Arc::new(fields), unit: unit.into(), until: now + BELIEVED_FOR };
        let answer = (Arc::clone(&known.fields), Arc::clone(&known.unit));
        self.processes.insert(sender, known);
        answer
    }
}

/// Whether the process was still there, and its unit.
fn look_up(sender: Credentials, fields: &mut Vec<Vec<u8>>) -> (bool, String) {
    let mut push = |name: &str, value: &[u8]| {
        let value = value.get(..VALUE_BYTES_MAX).unwrap_or(value);
        if !value.is_empty() {
            fields.push([name.as_bytes(), b"=", value].concat());
        }
    };
    push("_PID", sender.pid.to_string().as_bytes());
    push("_UID", sender.uid.to_string().as_bytes());
    push("_GID", sender.gid.to_string().as_bytes());
    if sender.pid == 0 {
        return (true, String::new());
    }
    let path = |name: &str| format!("/proc/{}/{name}", sender.pid);
    let read = |name: &str| read_start(&path(name));
    let Some(comm) = read("comm") else { return (false, String::new()) };
    push("_COMM", comm.trim_ascii_end());
    if let Ok(exe) = std::fs::read_link(path("exe")) {
        push("_EXE", std::os::unix::ffi::OsStrExt::as_bytes(exe.as_os_str()));
    }
    if let Some(mut line) = read("cmdline") {
        while line.last() == Some(&0) {
            line.pop();
        }
        line.iter_mut().filter(|byte| **byte == 0).for_each(|byte| *byte = b' ');
        push("_CMDLINE", &line);
    }
    if let Some(status) = read("status") {
        for line in status.split(|byte| *byte == b'\n') {
            if let Some(value) = line.strip_prefix(b"CapEff:\t") {
                let start =
                    value.iter().take_while(|byte| **byte == b'0').count().min(value.len().saturating_sub(1));
                push("_CAP_EFFECTIVE", &value[start..]);
            }
        }
    }
    // 4294967295: no audit session.
    for (file, name) in [("sessionid", "_AUDIT_SESSION"), ("loginuid", "_AUDIT_LOGINUID")] {
        if let Some(value) = read(file)
            && value.trim_ascii() != b"4294967295"
        {
            push(name, value.trim_ascii());
        }
    }
    if let Some(context) = read("attr/current")
        && context.contains(&b':')
    {
        push(
            "_SELINUX_CONTEXT",
            context.trim_ascii_end().strip_suffix(b"\0").unwrap_or(context.trim_ascii_end()),
        );
    }
    let group = read("cgroup").map(|text| control_group(&String::from_utf8_lossy(&text)).to_owned());
    let group = group.unwrap_or_default();
    for (name, value) in cgroup_fields(&group) {
        push(name, value.as_bytes());
    }
    let unit =
        cgroup_fields(&group).into_iter().find(|(name, _)| *name == "_SYSTEMD_UNIT").map(|(_, unit)| unit);
    if let Some(unit) = &unit
        && let Ok(id) = std::fs::read_link(format!("/run/systemd/units/invocation:{unit}"))
    {
        push("_SYSTEMD_INVOCATION_ID", std::os::unix::ffi::OsStrExt::as_bytes(id.as_os_str()));
    }
    (true, unit.unwrap_or(group))
}

/// The beginning of a file of /proc.
fn read_start(path: &str) -> Option<Vec<u8>> {
    use std::io::Read;
    let mut text = Vec::new();
    std::fs::File::open(path).ok()?.take(VALUE_BYTES_MAX as u64).read_to_end(&mut text).ok()?;
    Some(text)
}

/// The path in the unified hierarchy, or in systemd's own.
fn control_group(text: &str) -> &str {
    let named = |prefix: &str| text.lines().find_map(|line| line.strip_prefix(prefix));
    let systemd = || text.lines().find_map(|line| line.split_once(":name=systemd:").map(|(_, path)| path));
    named("0::").filter(|path| *path != "/").or_else(systemd).unwrap_or("")
}

/// What a control group's path says (systemd's naming: slices, then a unit; below `user@UID.service` the user's own).
fn cgroup_fields(path: &str) -> Vec<(&'static str, String)> {
    if path.is_empty() || path == "/" {
        return Vec::new();
    }
    let mut fields = vec![("_SYSTEMD_CGROUP", path.to_owned())];
    let is_unit = |part: &str| {
        [".service", ".scope", ".socket", ".mount", ".swap", ".init"]
            .iter()
            .any(|suffix| part.ends_with(suffix))
    };
    let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
    let Some(at) = parts.iter().position(|part| is_unit(part)) else {
        if let Some(slice) = parts.last().filter(|part| part.ends_with(".slice")) {
            fields.push(("_SYSTEMD_SLICE", (*slice).to_owned()));
        }
        return fields;
    };
    let unit = parts[at];
    fields.push(("_SYSTEMD_UNIT", unit.to_owned()));
    let slice = parts[..at].last().copied().unwrap_or("-.slice");
    fields.push(("_SYSTEMD_SLICE", slice.to_owned()));
    if let Some(session) = unit.strip_prefix("session-").and_then(|rest| rest.strip_suffix(".scope")) {
        fields.push(("_SYSTEMD_SESSION", session.to_owned()));
    }
    let owner = parts.iter().find_map(|part| part.strip_prefix("user-")?.strip_suffix(".slice"));
    if let Some(owner) = owner.filter(|owner| owner.bytes().all(|byte| byte.is_ascii_digit())) {
        fields.push(("_SYSTEMD_OWNER_UID", owner.to_owned()));
    }
    if unit.starts_with("user@")
        && let Some(inner) = parts[at + 1..].iter().find(|part| is_unit(part))
    {
        fields.push(("_SYSTEMD_USER_UNIT", (*inner).to_owned()));
    }
    fields
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Goal: units, slices and sessions are read from control group paths as journald reads them.
    #[test]
    fn control_groups_are_read() {
        let check = |path: &str, expected: &str| {
            let fields = cgroup_fields(path);
            let shown: Vec<String> =
                fields.iter().skip(1).map(|(name, value)| format!("{}={value}", &name[9..])).collect();
            assert_eq!(shown.join(" "), expected);
        };
        check("/system.slice/ssh.service", "UNIT=ssh.service SLICE=system.slice");
        check(
            "/user.slice/user-1000.slice/session-3.scope",
            "UNIT=session-3.scope SLICE=user-1000.slice SESSION=3 OWNER_UID=1000",
        );
        check(
            "/user.slice/user-1000.slice/user@1000.service/app.slice/x.service",
            "UNIT=user@1000.service SLICE=user-1000.slice OWNER_UID=1000 USER_UNIT=x.service",
        );
        check("/", "");
        assert_eq!(control_group("1:name=systemd:/a.service\n0::/\n"), "/a.service");
        assert_eq!(control_group("0::/b.service\n"), "/b.service");
    }

    /// Goal: a living process is described, and one that is gone keeps its description.
    #[test]
    fn a_process_is_described() {
        let mut trusted = Trusted::default();
        let me = Credentials { pid: std::process::id(), uid: 7, gid: 8 };
        let (fields, _) = trusted.fields(me);
        let has = |wanted: &[u8]| fields.iter().any(|field| field.starts_with(wanted));
        assert!(
            has(format!("_PID={}", me.pid).as_bytes()) && has(b"_UID=7") && has(b"_COMM=") && has(b"_EXE=/")
        );
    }
}
