//! From a local name to its destinations: aliases, includes and `.forward`, recursively (`aliases(5)`, `local(8)`).

use std::collections::HashSet;

use crate::Address;
use crate::destination::{Destination, Detail, Rights};
use crate::route::{LocalName, Route, Router};
use crate::target::Target;

/// Deepest nesting of aliases, includes and `.forward`s; beyond it the configuration runs in a circle.
pub const DEPTH_MAX: usize = 50;
/// Most destinations of one recipient; a larger list belongs to a list manager.
pub const DESTINATIONS_MAX: usize = 10_000;

/// Why a name cannot be expanded or delivered to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trouble {
    /// True if a later attempt may succeed.
    pub temporary: bool,
    /// Enhanced status code (RFC 3463).
    pub dsn: String,
    /// For people: the end of the log line and of the bounce.
    pub text: String,
}

impl Trouble {
    /// A failure that stays.
    pub fn permanent(dsn: &str, text: impl Into<String>) -> Self {
        Self { temporary: false, dsn: dsn.to_owned(), text: text.into() }
    }

    /// A failure that may pass.
    pub fn temporary(dsn: &str, text: impl Into<String>) -> Self {
        Self { temporary: true, dsn: dsn.to_owned(), text: text.into() }
    }
}

/// What stands in files and in the user database.
pub trait Sources {
    /// The destinations of an alias (the name is in lower case), or none if there is no such alias.
    fn alias(&self, name: &str) -> Result<Option<Vec<Target>>, Trouble>;
    /// The content of an include file. A file that everybody may write must be refused here.
    fn include(&self, path: &str) -> Result<Vec<Target>, Trouble>;
    /// The `.forward` of a user, or none if there is none. Ownership and mode are checked here; a file that fails the
    /// checks counts as none.
    fn forward(&self, user: &str, extension: Option<&str>) -> Result<Option<Vec<Target>>, Trouble>;
    /// True if a login of that name exists.
    fn is_user(&self, name: &str) -> Result<bool, Trouble>;
}

/// One destination that expansion found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leaf {
    /// The address or local name that led here, with its domain.
    pub address: String,
    /// Where to, or why not.
    pub way: Result<Detail, Trouble>,
}

/// Expands one local recipient. `delivered_to` are the `Delivered-To` lines that the message bears already; meeting
/// one again is a loop.
///
/// The result is never empty, holds each destination once, and the first leaf of a plain user is their mailbox.
pub fn expand(
    address: &Address,
    router: &Router,
    sources: &dyn Sources,
    delivered_to: &[String],
) -> Vec<Leaf> {
    let mut work = Work { router, sources, delivered_to, leaves: Vec::new(), seen: HashSet::new() };
    let context = Context { chain: Vec::new(), sender: None, via: Vec::new(), from: From::Envelope };
    work.address(address.clone(), &context);
    work.leaves
}

/// Where a target was written, which decides what it may be.
#[derive(Clone)]
enum From {
    Envelope,
    Alias,
    Forward(String),
    Include,
}

#[derive(Clone)]
struct Context {
    /// Aliases (by name), includes (`:include:...`) and forwards (`user/`) that are being expanded.
    chain: Vec<String>,
    sender: Option<String>,
    via: Vec<String>,
    from: From,
}

struct Work<'a> {
    router: &'a Router,
    sources: &'a dyn Sources,
    delivered_to: &'a [String],
    leaves: Vec<Leaf>,
    seen: HashSet<(Destination, String)>,
}

impl Work<'_> {
    fn address(&mut self, address: Address, context: &Context) {
        let address = address.qualified(&self.router.origin);
        let shown = address.to_string();
        if context.chain.len() >= DEPTH_MAX || self.leaves.len() >= DESTINATIONS_MAX {
            let trouble = Trouble::permanent("5.4.6", format!("alias expansion of {shown} does not end"));
            return self.fail(shown, trouble);
        }
        match self.router.route(&address) {
            Route::Local(name) => self.local(&address, &name, context),
            Route::Relay(_) | Route::None => self.leaf(shown, Destination::Remote, context),
        }
    }

    fn local(&mut self, address: &Address, name: &LocalName, context: &Context) {
        let shown = address.to_string();
        let folded = address.folded();
        if self.delivered_to.iter().any(|seen| seen.eq_ignore_ascii_case(&folded)) {
            return self.fail(
                shown.clone(),
                Trouble::permanent("5.4.6", format!("mail forwarding loop for {shown}")),
            );
        }
        // Self-reference: an alias that is being expanded already means the user of that name.
        for key in [Some(&name.whole), name.extension.as_ref().map(|_| &name.user)].into_iter().flatten() {
            if context.chain.iter().any(|link| link == key) {
                continue;
            }
            match self.sources.alias(key) {
                Ok(Some(targets)) => return self.alias(key, targets, &folded, context),
                Ok(None) => {}
                Err(trouble) => return self.fail(shown, trouble),
            }
        }
        match self.sources.is_user(&name.user) {
            Ok(true) => self.user(shown, name, context),
            Ok(false) => {
                let trouble = Trouble::permanent("5.1.1", format!("unknown user: \"{}\"", name.whole));
                self.fail(shown, trouble);
            }
            Err(trouble) => self.fail(shown, trouble),
        }
    }

    fn alias(&mut self, key: &str, targets: Vec<Target>, folded: &str, context: &Context) {
        let mut inner = context.clone();
        inner.chain.push(key.to_owned());
        inner.from = From::Alias;
        inner.via.insert(0, folded.to_owned());
        // owner-list receives the reports of list (aliases(5)); owner-owner-list is owner-list itself.
        if !key.starts_with("owner-") && matches!(self.sources.alias(&format!("owner-{key}")), Ok(Some(_))) {
            inner.sender = Some(format!("owner-{key}@{}", self.router.origin));
        }
        self.targets(targets, folded, &inner);
    }

    fn user(&mut self, shown: String, name: &LocalName, context: &Context) {
        let user = name.user.clone();
        let link = format!("{user}/");
        if context.chain.contains(&link) {
            return self.leaf(shown, Destination::Mailbox { user }, context);
        }
        match self.sources.forward(&user, name.extension.as_deref()) {
            Ok(Some(targets)) if !targets.is_empty() => {
                let mut inner = context.clone();
                inner.chain.push(link);
                inner.via.insert(0, shown.to_ascii_lowercase());
                inner.from = From::Forward(user);
                self.targets(targets, &shown, &inner);
            }
            Ok(_) => self.leaf(shown, Destination::Mailbox { user }, context),
            Err(trouble) => self.fail(shown, trouble),
        }
    }

    fn targets(&mut self, targets: Vec<Target>, shown: &str, context: &Context) {
        for target in targets {
            self.target(target, shown, context);
        }
    }

    fn target(&mut self, target: Target, shown: &str, context: &Context) {
        let rights = match &context.from {
            From::Alias => Some(Rights::AliasOwner),
            From::Forward(user) => Some(Rights::User(user.clone())),
            From::Envelope | From::Include => None,
        };
        match (target, rights) {
            (Target::Address(text), _) => match Address::parse(&text) {
                Ok(address) => self.address(address, context),
                Err(error) => self.fail(text, Trouble::permanent("5.1.3", error.to_string())),
            },
            (Target::Mailbox(user), _) => {
                let user = user.to_ascii_lowercase();
                match self.sources.is_user(&user) {
                    Ok(true) => {
                        let address = format!("{user}@{}", self.router.origin);
                        self.leaf(address, Destination::Mailbox { user }, context);
                    }
                    Ok(false) => {
                        let trouble = Trouble::permanent("5.1.1", format!("unknown user: \"{user}\""));
                        self.fail(user, trouble);
                    }
                    Err(trouble) => self.fail(user, trouble),
                }
            }
            (Target::File(path), Some(rights)) => {
                self.leaf(shown.to_owned(), Destination::File { path, rights }, context);
            }
            (Target::Command(command), Some(rights)) => {
                self.leaf(shown.to_owned(), Destination::Command { command, rights }, context);
            }
            (Target::File(_) | Target::Command(_), None) => {
                let text = "files and commands are allowed in aliases and .forward only, not in includes";
                self.fail(shown.to_owned(), Trouble::permanent("5.7.1", text));
            }
            (Target::Include(path), _) => {
                let link = format!(":include:{path}");
                if context.chain.contains(&link) {
                    return;
                }
                match self.sources.include(&path) {
                    Ok(targets) => {
                        let mut inner = context.clone();
                        inner.chain.push(link);
                        inner.from = From::Include;
                        self.targets(targets, shown, &inner);
                    }
                    Err(trouble) => self.fail(shown.to_owned(), trouble),
                }
            }
        }
    }

    fn leaf(&mut self, address: String, destination: Destination, context: &Context) {
        let key = match &destination {
            Destination::Remote => address.to_ascii_lowercase(),
            _ => String::new(),
        };
        if self.seen.insert((destination.clone(), key)) {
            let detail = Detail { destination, sender: context.sender.clone(), via: context.via.clone() };
            self.leaves.push(Leaf { address, way: Ok(detail) });
        }
    }

    fn fail(&mut self, address: String, trouble: Trouble) {
        self.leaves.push(Leaf { address, way: Err(trouble) });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Aliases;
    use crate::target::parse_lines;
    use std::collections::HashMap;

    struct World {
        aliases: Aliases,
        files: HashMap<&'static str, &'static str>,
    }

    impl Sources for World {
        fn alias(&self, name: &str) -> Result<Option<Vec<Target>>, Trouble> {
            Ok(self.aliases.get(name).map(<[Target]>::to_vec))
        }
        fn include(&self, path: &str) -> Result<Vec<Target>, Trouble> {
            let text = self.files.get(path).ok_or_else(|| Trouble::temporary("4.3.0", "no such include"))?;
            Ok(parse_lines(text, &mut Vec::new()))
        }
        fn forward(&self, user: &str, _: Option<&str>) -> Result<Option<Vec<Target>>, Trouble> {
            Ok(self.files.get(user).map(|text| parse_lines(text, &mut Vec::new())))
        }
        fn is_user(&self, name: &str) -> Result<bool, Trouble> {
            Ok(["root", "me", "you", "fwd", "keep", "loop1", "loop2", "runs"].contains(&name))
        }
    }

    fn shown(leaf: &Leaf) -> String {
        match &leaf.way {
            Err(trouble) => format!("! {}", trouble.dsn),
            Ok(detail) => {
                let from = detail.sender.as_ref().map_or(String::new(), |s| format!(" from {s}"));
                match &detail.destination {
                    Destination::Mailbox { user } => format!("box {user}{from}"),
                    Destination::File { path, rights } => format!("file {path} as {rights:?}{from}"),
                    Destination::Command { command, rights } => format!("run {command} as {rights:?}{from}"),
                    Destination::Remote => format!("to {}{from}", leaf.address),
                    Destination::Unexpanded | Destination::Nowhere { .. } => panic!("{leaf:?}"),
                }
            }
        }
    }

    /// Goal: each rule of aliases(5) and of .forward, in one world.
    #[test]
    fn names_expand() {
        let text = "root: me, Root\nlist: me, you, me@h, far@x.example\nowner-list: you\nnest: list, nest2\n\
                    nest2: nest, you\nf: /var/f, \"|run it\"\ninc: :include:/inc\nbad: :include:/missing\n\
                    a: b\nb: a\nself: \\me\nsecret: nobody-here\n";
        let files = HashMap::from([
            ("/inc", "you\nfar@x.example\n/etc/passwd\n|id\n:include:/inc\n"),
            ("fwd", "far@y.example\n"),
            ("keep", "\\keep, far@y.example"),
            ("loop1", "loop2"),
            ("loop2", "loop1"),
            ("runs", "\"|prog\", /home/runs/f, runs"),
            ("you", ""),
        ]);
        let (aliases, problems) = Aliases::parse(text);
        assert!(problems.is_empty(), "{problems:?}");
        let world = World { aliases, files };
        let router = Router {
            local_domains: ["h".to_owned()].into(),
            origin: "h".to_owned(),
            delimiters: "+".to_owned(),
            ..Router::default()
        };
        let check = |name: &str, expected: &[&str]| {
            let address = Address::parse(name).unwrap_or_else(|e| panic!("{e}"));
            let got: Vec<String> = expand(&address, &router, &world, &[]).iter().map(shown).collect();
            assert_eq!(got, expected, "{name}");
        };
        check("me", &["box me"]);
        check("ME@H", &["box me"]);
        check("me+ext", &["box me"]);
        check("you", &["box you"]);
        check("root", &["box me", "box root"]);
        let list =
            ["box me from owner-list@h", "box you from owner-list@h", "to far@x.example from owner-list@h"];
        check("list", &list);
        check("list+x", &list);
        check("nest", &[list[0], list[1], list[2], "! 5.1.1"]);
        check("f", &["file /var/f as AliasOwner", "run run it as AliasOwner"]);
        check("inc", &["box you", "to far@x.example", "! 5.7.1", "! 5.7.1"]);
        check("bad", &["! 4.3.0"]);
        check("a", &["! 5.1.1"]);
        check("self", &["box me"]);
        check("fwd", &["to far@y.example"]);
        check("keep", &["box keep", "to far@y.example"]);
        check("loop1", &["box loop1"]);
        check("runs", &["run prog as User(\"runs\")", "file /home/runs/f as User(\"runs\")", "box runs"]);
        check("who", &["! 5.1.1"]);
        for name in ["|id", "/etc/passwd", "-oQ/tmp", "\":include:/inc\"@h"] {
            check(name, &["! 5.1.1"]);
        }
        let me = Address::parse("me").unwrap_or_else(|e| panic!("{e}"));
        let got = expand(&me, &router, &world, &["me@h".to_owned()]);
        assert_eq!(got.iter().map(shown).collect::<Vec<_>>(), ["! 5.4.6"], "Delivered-To met again");
    }
}
