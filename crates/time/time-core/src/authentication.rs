//! What authentication means for the selection (`chrony.conf(5)`, authselectmode).

use crate::source::SourceSettings;

/// `authselectmode`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum AuthSelectMode {
    /// Sources that are not authenticated are never selected.
    Require,
    /// They are not while there is one that is authenticated.
    Prefer,
    /// Where there are both, those that are authenticated are trusted and one of them is required.
    #[default]
    Mix,
    /// Authentication makes no difference.
    Ignore,
}

/// Why a source may be believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Authenticity {
    /// Everybody on the path could forge it.
    Open,
    /// Key or NTS.
    Authenticated,
    /// A clock of this host: nobody is on the path.
    Local,
}

/// Which of all sources are there, those with `noselect` not counted: they are ignored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct AuthenticityMix {
    /// One that is authenticated.
    pub authenticated: bool,
    /// One that is not, and comes over the network.
    pub open: bool,
}

impl AuthenticityMix {
    /// Of these sources, as configured.
    pub fn of<'a>(sources: impl IntoIterator<Item = (&'a SourceSettings, Authenticity)>) -> Self {
        let mut mix = Self::default();
        for (_, kind) in sources.into_iter().filter(|(settings, _)| !settings.noselect) {
            mix.authenticated |= kind == Authenticity::Authenticated;
            mix.open |= kind == Authenticity::Open;
        }
        mix
    }
}

impl AuthSelectMode {
    /// How a source that was configured as `settings` is treated among the others. `waits`: none of those that are
    /// authenticated is found yet, so none of them can be required by its own settings.
    pub fn effective(
        self,
        settings: SourceSettings,
        kind: Authenticity,
        mix: AuthenticityMix,
        waits: bool,
    ) -> SourceSettings {
        let mut effective = settings;
        if settings.noselect {
            return effective;
        }
        match (self, kind) {
            (Self::Require, Authenticity::Open) => effective.noselect = true,
            (Self::Prefer, Authenticity::Open) => effective.noselect = mix.authenticated,
            (Self::Mix, Authenticity::Authenticated | Authenticity::Local)
                if mix.authenticated && mix.open =>
            {
                (effective.require, effective.trust) = (true, true);
            }
            (Self::Mix, Authenticity::Open) => effective.noselect = waits,
            _ => {}
        }
        effective
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Goal: each mode does with each kind of source what chrony.conf(5) says, and what is noselect stays as it is and counts for
    /// nothing.
    #[test]
    fn each_mode_treats_each_kind() {
        use AuthSelectMode::{Ignore, Mix, Prefer, Require};
        use Authenticity::{Authenticated, Local, Open};
        let plain = SourceSettings::default();
        let unused = SourceSettings { noselect: true, ..plain };
        let check = |mode: AuthSelectMode, sources: &[(SourceSettings, Authenticity)], expected: &str| {
            let mix = AuthenticityMix::of(sources.iter().map(|(settings, kind)| (settings, *kind)));
            let found: Vec<&str> = sources
                .iter()
                .map(|(settings, kind)| mode.effective(*settings, *kind, mix, false))
                .map(|one| match (one.noselect, one.require && one.trust) {
                    (true, _) => "N",
                    (_, true) => "R",
                    _ => "-",
                })
                .collect();
            assert_eq!(found.concat(), expected, "{mode:?} {sources:?}");
        };
        let all = [(plain, Open), (plain, Authenticated), (plain, Local), (unused, Authenticated)];
        check(Require, &all, "N--N");
        check(Prefer, &all, "N--N");
        check(Mix, &all, "-RRN");
        check(Ignore, &all, "---N");
        check(Require, &[(plain, Open)], "N");
        check(Prefer, &[(plain, Open), (plain, Local)], "--");
        check(Prefer, &[(plain, Open), (unused, Authenticated)], "-N");
        check(Mix, &[(plain, Open), (unused, Authenticated), (plain, Local)], "-N-");
        check(Mix, &[(plain, Authenticated), (plain, Local)], "--");
        check(Mix, &[(unused, Open), (plain, Authenticated)], "N-");
        let both = AuthenticityMix { authenticated: true, open: true };
        for (mode, noselect) in [(Require, true), (Prefer, true), (Mix, true), (Ignore, false)] {
            assert_eq!(mode.effective(plain, Open, both, true).noselect, noselect, "{mode:?}");
        }
    }
}
