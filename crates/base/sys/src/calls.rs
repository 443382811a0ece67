//! Numbers of system calls, for filters of them (`seccomp(2)`).

/// `execve(2)`.
pub const EXECVE: i64 = libc::SYS_execve;
/// `ioctl(2)`.
pub const IOCTL: i64 = libc::SYS_ioctl;
/// `execveat(2)`.
pub const EXECVEAT: i64 = libc::SYS_execveat;
/// `fork(2)`; -1 where there is no such call.
#[cfg(target_arch = "x86_64")]
pub const FORK: i64 = libc::SYS_fork;
/// `fork(2)`; -1 where there is no such call.
#[cfg(not(target_arch = "x86_64"))]
pub const FORK: i64 = -1;
/// `vfork(2)`; -1 where there is no such call.
#[cfg(target_arch = "x86_64")]
pub const VFORK: i64 = libc::SYS_vfork;
/// `vfork(2)`; -1 where there is no such call.
#[cfg(not(target_arch = "x86_64"))]
pub const VFORK: i64 = -1;
/// `ptrace(2)`.
pub const PTRACE: i64 = libc::SYS_ptrace;
/// `process_vm_readv(2)`.
pub const PROCESS_VM_READV: i64 = libc::SYS_process_vm_readv;
/// `process_vm_writev(2)`.
pub const PROCESS_VM_WRITEV: i64 = libc::SYS_process_vm_writev;
/// `mount(2)`.
pub const MOUNT: i64 = libc::SYS_mount;
/// `umount2(2)`.
pub const UMOUNT2: i64 = libc::SYS_umount2;
/// `pivot_root(2)`.
pub const PIVOT_ROOT: i64 = libc::SYS_pivot_root;
/// `chroot(2)`.
pub const CHROOT: i64 = libc::SYS_chroot;
/// `init_module(2)`.
pub const INIT_MODULE: i64 = libc::SYS_init_module;
/// `finit_module(2)`.
pub const FINIT_MODULE: i64 = libc::SYS_finit_module;
/// `delete_module(2)`.
pub const DELETE_MODULE: i64 = libc::SYS_delete_module;
/// `kexec_load(2)`.
pub const KEXEC_LOAD: i64 = libc::SYS_kexec_load;
/// `bpf(2)`.
pub const BPF: i64 = libc::SYS_bpf;
/// `perf_event_open(2)`.
pub const PERF_EVENT_OPEN: i64 = libc::SYS_perf_event_open;
/// `unshare(2)`.
pub const UNSHARE: i64 = libc::SYS_unshare;
/// `setns(2)`.
pub const SETNS: i64 = libc::SYS_setns;
/// `setuid(2)`.
pub const SETUID: i64 = libc::SYS_setuid;
/// `setresuid(2)`.
pub const SETRESUID: i64 = libc::SYS_setresuid;
/// `reboot(2)`.
pub const REBOOT: i64 = libc::SYS_reboot;
/// `swapon(2)`.
pub const SWAPON: i64 = libc::SYS_swapon;
/// `add_key(2)`.
pub const ADD_KEY: i64 = libc::SYS_add_key;
/// `keyctl(2)`.
pub const KEYCTL: i64 = libc::SYS_keyctl;
/// `userfaultfd(2)`.
pub const USERFAULTFD: i64 = libc::SYS_userfaultfd;
/// `read(2)`.
pub const READ: i64 = libc::SYS_read;
/// `write(2)`.
pub const WRITE: i64 = libc::SYS_write;
/// `recvfrom(2)`.
pub const RECVFROM: i64 = libc::SYS_recvfrom;
/// `sendto(2)`.
pub const SENDTO: i64 = libc::SYS_sendto;
/// `adjtimex(2)`.
pub const ADJTIMEX: i64 = libc::SYS_adjtimex;
/// `clock_adjtime(2)`.
pub const CLOCK_ADJTIME: i64 = libc::SYS_clock_adjtime;
/// `clock_gettime(2)`.
pub const CLOCK_GETTIME: i64 = libc::SYS_clock_gettime;
/// `futex(2)`.
pub const FUTEX: i64 = libc::SYS_futex;
/// `_exit(2) of a thread`.
pub const EXIT: i64 = libc::SYS_exit;
/// `_exit(2)`.
pub const EXIT_GROUP: i64 = libc::SYS_exit_group;
/// `sigreturn(2)`.
pub const RT_SIGRETURN: i64 = libc::SYS_rt_sigreturn;
/// `restart_syscall(2)`.
pub const RESTART_SYSCALL: i64 = libc::SYS_restart_syscall;
/// `munmap(2)`.
pub const MUNMAP: i64 = libc::SYS_munmap;
/// `mmap(2)`.
pub const MMAP: i64 = libc::SYS_mmap;
/// `madvise(2)`.
pub const MADVISE: i64 = libc::SYS_madvise;
/// `brk(2)`.
pub const BRK: i64 = libc::SYS_brk;
/// `sigaltstack(2)`.
pub const SIGALTSTACK: i64 = libc::SYS_sigaltstack;
/// `close(2)`.
pub const CLOSE: i64 = libc::SYS_close;
