//! Confines the child, from the widest to the narrowest: limits of resources, then the file system and the network
//! (landlock), then system calls (seccomp).
//!
//! Each step stands alone: seccomp refuses `open` and `socket` where landlock is old, landlock refuses files
//! should the filter have a hole.

use crate::policy::frame::{Boot, Confinement, Role, Sandbox};
use landlock::{
    ABI, Access, AccessFs, AccessNet, CompatLevel, Compatible, Ruleset, RulesetAttr, RulesetStatus, Scope,
};
use rustix::process::{DumpableBehavior, Resource, Rlimit, Signal};
use rustix::thread::{CapabilitySet, CapabilitySets};
use rustix::thread::{Gid, Uid};
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen as Len, SeccompCmpOp as Op, SeccompCondition, SeccompFilter,
    SeccompRule,
};
use std::fmt;

/// A step that the kernel did not let the child take.
#[derive(Debug)]
pub(super) struct Gap {
    pub step: &'static str,
    pub detail: String,
}

impl Gap {
    fn new(step: &'static str, error: impl fmt::Display) -> Self {
        Self { step, detail: error.to_string() }
    }
}

impl fmt::Display for Gap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.step, self.detail)
    }
}

/// Confines this process, for good.
///
/// # Errors
/// The first step that failed, where the sandbox is required.
pub(super) fn confine(boot: &Boot) -> Result<Confinement, Gap> {
    let strict = boot.sandbox == Sandbox::Required;
    let mut confinement = Confinement {
        user: String::new(),
        no_new_privileges: false,
        landlock: "none".to_owned(),
        seccomp: false,
        limits: Vec::new(),
    };
    confinement.user = nobody().map_or_else(|why| why, |()| format!("{NOBODY}"));
    step(strict, privileges(), |()| confinement.no_new_privileges = true)?;
    step(strict, die_with_the_daemon(), |()| ())?;
    step(strict, landlock(), |status| status.clone_into(&mut confinement.landlock))?;
    for (resource, name, value) in limits(boot) {
        step(strict, limit(resource, name, value), |line| confinement.limits.push(line))?;
    }
    step(strict, filter(boot.role == Role::Evaluate), |()| confinement.seccomp = true)?;
    Ok(confinement)
}

/// The second filter, once code is loaded: nothing becomes executable any more, and no further filter.
pub(super) fn seal() -> Result<(), Gap> {
    filter(false)
}

fn step<T>(strict: bool, result: Result<T, Gap>, done: impl FnOnce(T)) -> Result<(), Gap> {
    match result {
        Ok(value) => {
            done(value);
            Ok(())
        }
        Err(gap) if strict => Err(gap),
        Err(_) => Ok(()),
    }
}

/// Whoever owns nothing; the number that the kernel itself shows for those that it cannot name.
const NOBODY: u32 = 65_534;

/// Becomes nobody, with no right beside. Everything below holds without it: it is a second wall, and where it cannot
/// stand (not root; an owner of a user namespace without that number) the child goes on and says why.
fn nobody() -> Result<(), String> {
    if !rustix::process::geteuid().is_root() {
        return drop_capabilities().map_err(|error| format!("not root; capabilities: {error}"));
    }
    let needed = CapabilitySet::SETUID | CapabilitySet::SETGID | CapabilitySet::KILL;
    let held =
        rustix::thread::capabilities(None).map(|sets| sets.effective).unwrap_or(CapabilitySet::empty());
    if !held.contains(needed) {
        // Without the right to signal others the daemon could not end a child of another user.
        let _ = drop_capabilities();
        return Err("root without the capabilities SETUID, SETGID and KILL".to_owned());
    }
    let (user, group) = (Uid::from_raw(NOBODY), Gid::from_raw(NOBODY));
    rustix::thread::set_thread_groups(&[])
        .and_then(|()| rustix::thread::set_thread_res_gid(group, group, group))
        .and_then(|()| rustix::thread::set_thread_res_uid(user, user, user))
        .map_err(|error| format!("root; user {NOBODY}: {error}"))
        .and_then(|()| drop_capabilities().map_err(|error| format!("{NOBODY}, with capabilities: {error}")))
}

fn drop_capabilities() -> rustix::io::Result<()> {
    let none = CapabilitySet::empty();
    let sets = CapabilitySets { effective: none, permitted: none, inheritable: none };
    rustix::thread::set_capabilities(None, sets)
}

/// The kernel ends the child when its parent ends: one that compiles reads nothing meanwhile, and would not see
/// its pipe closed. After the user has changed, which would undo it.
fn die_with_the_daemon() -> Result<(), Gap> {
    rustix::process::set_parent_process_death_signal(Some(Signal::KILL))
        .map_err(|error| Gap::new("parent death signal", error))
}

fn privileges() -> Result<(), Gap> {
    rustix::thread::set_no_new_privs(true).map_err(|error| Gap::new("no_new_privs", error))?;
    // No other process of the same user may look into this one.
    rustix::process::set_dumpable_behavior(DumpableBehavior::NotDumpable)
        .map_err(|error| Gap::new("dumpable", error))
}

/// No path at all, no port, no signal outside. The file system part is required: it is in every kernel since
/// 5.13. Network (6.7) and scopes (6.12) are taken where they are, since seccomp refuses both anyway.
fn landlock() -> Result<&'static str, Gap> {
    let status = Ruleset::default()
        .set_compatibility(CompatLevel::HardRequirement)
        .handle_access(AccessFs::from_all(ABI::V1))
        .map(|rules| rules.set_compatibility(CompatLevel::BestEffort))
        .and_then(|rules| rules.handle_access(AccessFs::from_all(ABI::V5)))
        .and_then(|rules| rules.handle_access(AccessNet::from_all(ABI::V5)))
        .and_then(|rules| rules.scope(Scope::from_all(ABI::V6)))
        .and_then(Ruleset::create)
        .and_then(landlock::RulesetCreated::restrict_self)
        .map_err(|error| Gap::new("landlock", error))?;
    match status.ruleset {
        RulesetStatus::FullyEnforced => Ok("full"),
        RulesetStatus::PartiallyEnforced => Ok("partial"),
        RulesetStatus::NotEnforced => Err(Gap::new("landlock", "the kernel does not enforce it")),
    }
}

fn limits(boot: &Boot) -> Vec<(Resource, &'static str, u64)> {
    let mut limits = vec![
        (Resource::As, "as", boot.space_bytes),
        // The three standard descriptors are open already, and there will be no other.
        (Resource::Nofile, "nofile", 3),
        (Resource::Nproc, "nproc", 0),
        (Resource::Fsize, "fsize", 0),
        (Resource::Core, "core", 0),
        (Resource::Memlock, "memlock", 0),
    ];
    if let Some(seconds) = boot.cpu_s {
        limits.push((Resource::Cpu, "cpu", seconds));
    }
    limits
}

fn limit(resource: Resource, name: &'static str, value: u64) -> Result<String, Gap> {
    // A second more before the kernel kills: the signal that comes first says why.
    let maximum = if resource == Resource::Cpu { value.saturating_add(1) } else { value };
    let wanted = Rlimit { current: Some(value), maximum: Some(maximum) };
    rustix::process::setrlimit(resource, wanted).map_err(|error| Gap::new(name, error))?;
    Ok(format!("{name}={value}"))
}

/// Everything that is not listed fails with `EPERM`.
fn filter(loading: bool) -> Result<(), Gap> {
    let gap = |error: seccompiler::Error| Gap::new("seccomp", error);
    let arch = std::env::consts::ARCH.try_into().map_err(|error| Gap::new("seccomp", error))?;
    let rules = rules(loading).map_err(|error| Gap::new("seccomp", error))?;
    let denied = SeccompAction::Errno(libc::EPERM.cast_unsigned());
    let program: BpfProgram =
        SeccompFilter::new(rules.into_iter().collect(), denied, SeccompAction::Allow, arch)
            .and_then(TryInto::try_into)
            .map_err(|error| Gap::new("seccomp", error))?;
    seccompiler::apply_filter(&program).map_err(gap)
}

type Rules = Vec<(i64, Vec<SeccompRule>)>;

/// What a process needs that computes and talks over the pipes that it has: memory, signals of its own, time,
/// chance, the end. A descriptor that leaked into it is of no use, for none above 2 can be read or written.
fn rules(loading: bool) -> Result<Rules, seccompiler::BackendError> {
    let mut rules: Rules = [
        libc::SYS_brk,
        libc::SYS_clock_gettime,
        libc::SYS_exit,
        libc::SYS_exit_group,
        libc::SYS_futex,
        libc::SYS_getpid,
        libc::SYS_getrandom,
        libc::SYS_gettid,
        libc::SYS_madvise,
        libc::SYS_membarrier,
        libc::SYS_mremap,
        libc::SYS_munmap,
        libc::SYS_restart_syscall,
        libc::SYS_rt_sigaction,
        libc::SYS_rt_sigprocmask,
        libc::SYS_rt_sigreturn,
        libc::SYS_sched_yield,
        libc::SYS_sigaltstack,
    ]
    .into_iter()
    .map(|call| (call, Vec::new()))
    .collect();
    for call in [libc::SYS_read, libc::SYS_write, libc::SYS_readv, libc::SYS_writev, libc::SYS_close] {
        rules.push((call, vec![rule([when(0, Op::Le, 2)?])?]));
    }
    let exec = libc::PROT_EXEC as u64;
    let anonymous = when(4, Op::Eq, u64::from(u32::MAX))?;
    rules.push((libc::SYS_mmap, vec![rule([anonymous, when(2, Op::MaskedEq(exec), 0)?])?]));
    let own = u64::from(std::process::id());
    rules.push((libc::SYS_tgkill, vec![rule([when(0, Op::Eq, own)?])?]));
    if loading {
        rules.push((libc::SYS_mprotect, Vec::new()));
        rules.push((libc::SYS_seccomp, Vec::new()));
        let no_new_privs = u64::from(libc::PR_SET_NO_NEW_PRIVS.cast_unsigned());
        rules.push((libc::SYS_prctl, vec![rule([when(0, Op::Eq, no_new_privs)?])?]));
    } else {
        rules.push((libc::SYS_mprotect, vec![rule([when(2, Op::MaskedEq(exec), 0)?])?]));
    }
    Ok(rules)
}

fn when(argument: u8, is: Op, value: u64) -> Result<SeccompCondition, seccompiler::BackendError> {
    SeccompCondition::new(argument, Len::Dword, is, value)
}

fn rule<const N: usize>(conditions: [SeccompCondition; N]) -> Result<SeccompRule, seccompiler::BackendError> {
    SeccompRule::new(conditions.into())
}
