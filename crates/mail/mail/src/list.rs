//! Message lists: `1 3-5`, `*`, `$`, `^`, `.`, `+`, `-`, `:n`, `/subject/`, names of senders.

use crate::folder::Folder;

/// The messages (counted from 0) that `words` name. Without words it is `current`, or the next message that is not
/// deleted. `deleted` says whether only deleted messages are meant (undelete), else they are passed over.
pub(crate) fn select(
    words: &[&str],
    folder: &Folder,
    current: usize,
    deleted: bool,
) -> Result<Vec<usize>, String> {
    let count = folder.messages.len();
    let fits = |at: usize| folder.flags(at).deleted == deleted;
    if words.is_empty() {
        let order = (current..count).chain((0..current.min(count)).rev());
        return match order.into_iter().find(|&at| fits(at)) {
            Some(at) => Ok(vec![at]),
            None => Err("No applicable messages".into()),
        };
    }
    let mut chosen = vec![false; count];
    for word in words {
        let mut any = false;
        for at in one(word, folder, current, deleted)? {
            if let Some(slot) = chosen.get_mut(at) {
                *slot = true;
                any = true;
            }
        }
        if !any {
            return Err(format!("No applicable messages from {{{word}}}"));
        }
    }
    Ok((0..count).filter(|&at| chosen.get(at) == Some(&true)).collect())
}

/// Whether a word can only be meant as a part of a message list (where a list and other text share a line).
pub(crate) fn is_numeric(word: &str) -> bool {
    matches!(word, "*" | "$" | "^" | "." | "+" | "-")
        || (word.starts_with(|c: char| c.is_ascii_digit() || c == '^')
            && word.bytes().all(|b| b.is_ascii_digit() || b"-$^.".contains(&b)))
}

fn one(word: &str, folder: &Folder, current: usize, deleted: bool) -> Result<Vec<usize>, String> {
    let count = folder.messages.len();
    let fits = |at: &usize| folder.flags(*at).deleted == deleted;
    let all = || (0..count).filter(fits);
    if word == "*" {
        return Ok(all().collect());
    }
    if let Some((first, last)) =
        word.split_once('-').filter(|(first, _)| !first.is_empty() && is_numeric(word))
    {
        let (first, last) = (place(first, folder, current)?, place(last, folder, current)?);
        return Ok((first..=last).filter(fits).collect());
    }
    if is_numeric(word) {
        let at = place(word, folder, current)?;
        return match fits(&at) {
            true => Ok(vec![at]),
            false => Err(format!("{}: Inappropriate message", at + 1)),
        };
    }
    if let Some(kind) = word.strip_prefix(':') {
        let wanted = |at: &usize| -> Result<bool, String> {
            let flags = folder.flags(*at);
            Ok(match kind.chars().next() {
                Some('n') => !flags.old && !flags.read,
                Some('o') => flags.old,
                Some('r') => flags.read,
                Some('u') => !flags.read,
                Some('d') => flags.deleted,
                _ => return Err(format!("Unknown metachar ({word})")),
            })
        };
        let deleted_only = kind.starts_with('d');
        let mut found = Vec::new();
        for at in (0..count).filter(|at| deleted_only || fits(at)) {
            if wanted(&at)? {
                found.push(at);
            }
        }
        return Ok(found);
    }
    if let Some(pattern) = word.strip_prefix('/') {
        let pattern = pattern.strip_suffix('/').unwrap_or(pattern).to_lowercase();
        return Ok(all()
            .filter(|&at| folder.summary(at).subject.to_lowercase().contains(&pattern))
            .collect());
    }
    let name = word.to_lowercase();
    let is_from = |at: &usize| {
        let from = folder.summary(*at).from.unwrap_or_default();
        let (local, _) = from.address.split_once('@').unwrap_or((&from.address, ""));
        from.address.to_lowercase() == name || local.to_lowercase() == name
    };
    Ok(all().filter(is_from).collect())
}

/// A single message.
fn place(word: &str, folder: &Folder, current: usize) -> Result<usize, String> {
    let count = folder.messages.len();
    let undeleted = |at: &usize| !folder.flags(*at).deleted;
    let found = match word {
        "$" => (0..count).rev().find(undeleted),
        "^" => (0..count).find(undeleted),
        "." => Some(current),
        "+" => (current + 1..count).find(undeleted),
        "-" => (0..current.min(count)).rev().find(undeleted),
        number => {
            let number: usize = number.parse().map_err(|_| format!("{word}: bad message list"))?;
            let at = number.checked_sub(1).filter(|&at| at < count);
            return at.ok_or_else(|| format!("{number}: Invalid message number"));
        }
    };
    found.filter(|&at| at < count).ok_or_else(|| match word {
        "-" => "Referencing before 1".into(),
        "+" => "Referencing beyond EOF".into(),
        _ => "No applicable messages".to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Goal: each form of a message list names the messages that mailx(1) says.
    #[test]
    fn message_lists_are_understood() {
        let path = std::env::temp_dir().join(format!("mail-list-{:x}", sys::random::u64()));
        let entry = |at: usize, status: &str| {
            format!(
                "From u{at}@h Sun Nov 22 16:24:35 2026\nFrom: U <u{at}@h>\nSubject: Topic {at}\n{status}\nx\n\n"
            )
        };
        let text = entry(1, "Status: RO\n") + &entry(2, "Status: O\n") + &entry(3, "") + &entry(4, "");
        std::fs::write(&path, text).unwrap();
        let mut folder = Folder::open(&path, false).unwrap();
        std::fs::remove_file(&path).unwrap();
        folder.flags_mut(3).unwrap().deleted = true;
        let check = |words: &str, current: usize, deleted: bool, expected: &str| {
            let words: Vec<&str> = words.split_whitespace().collect();
            let got = match select(&words, &folder, current, deleted) {
                Ok(list) => list.iter().map(|at| (at + 1).to_string()).collect::<Vec<_>>().join(" "),
                Err(error) => error,
            };
            assert_eq!(got, expected, "{words:?}");
        };
        check("", 1, false, "2");
        check("", 3, false, "3");
        check("", 0, true, "4");
        check("1 3", 0, false, "1 3");
        check("1-3", 0, false, "1 2 3");
        check("2-$", 0, false, "2 3");
        check("*", 0, false, "1 2 3");
        check("*", 0, true, "4");
        check("$", 0, false, "3");
        check("^", 2, false, "1");
        check(".", 1, false, "2");
        check("+", 1, false, "3");
        check("-", 1, false, "1");
        check("-", 0, false, "Referencing before 1");
        check(":n", 0, false, "3");
        check(":o", 0, false, "1 2");
        check(":r", 0, false, "1");
        check(":u", 0, false, "2 3");
        check(":d", 0, false, "4");
        check(":x", 0, false, "Unknown metachar (:x)");
        check("/topic 2/", 0, false, "No applicable messages from {2/}");
        check("/PIC", 0, false, "1 2 3");
        check("u2", 0, false, "2");
        check("u3@h", 0, false, "3");
        check("nobody", 0, false, "No applicable messages from {nobody}");
        check("9", 0, false, "9: Invalid message number");
        check("0", 0, false, "0: Invalid message number");
        check("4", 0, false, "4: Inappropriate message");
        check("99999999999999999999", 0, false, "99999999999999999999: bad message list");
        check("3-1", 0, false, "No applicable messages from {3-1}");
    }
}
