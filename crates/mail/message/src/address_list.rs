//! Address lists of headers: `Name <a@b>, c@d (Name), group: e@f;` (RFC 5322 section 3.4).

/// One address with the name that stands beside it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Person {
    /// The display name, decoded, or empty.
    pub name: String,
    /// The address as written, a quoted local part with its quotes.
    pub address: String,
}

/// What a header or a command line's list says.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct AddressList {
    /// The addresses in order, groups dissolved.
    pub people: Vec<Person>,
    /// Pieces that are no address.
    pub problems: Vec<String>,
}

impl Person {
    /// As it stands in a header: the name quoted or encoded where it must be.
    pub fn header_text(&self) -> String {
        let address = crate::header_value(&self.address);
        if self.name.is_empty() {
            return address;
        }
        let plain = |c: char| c.is_ascii_alphanumeric() || " !#$%&'*+-/=?^_`{|}~".contains(c);
        let name = crate::header_value(&self.name);
        let name = if !name.is_ascii() || name.contains("=?") {
            crate::encode_header_text(&name)
        } else if name.chars().all(plain) {
            name
        } else {
            format!("\"{}\"", name.replace('\\', "\\\\").replace('"', "\\\""))
        };
        format!("{name} <{address}>")
    }
}

impl AddressList {
    /// Reads a list from a header's value (unfolded or not) or a command's argument.
    pub fn parse(text: &str) -> Self {
        let mut list = Self::default();
        let mut piece = Piece::default();
        let mut chars = text.chars();
        let mut state = State::Plain;
        while let Some(c) = chars.next() {
            match (state, c) {
                (State::Quoted { .. }, '\\') | (State::Comment(_), '\\') => {
                    let next = chars.next().unwrap_or('\\');
                    match state {
                        State::Comment(_) => piece.comment.push(next),
                        State::Quoted { angle: true } => piece.address.extend(['\\', next]),
                        _ => {
                            piece.text.extend(['\\', next]);
                            piece.name.push(next);
                        }
                    }
                }
                (State::Quoted { angle }, '"') => {
                    if angle {
                        piece.address.push('"')
                    } else {
                        piece.text.push('"')
                    }
                    state = if angle { State::Angle } else { State::Plain };
                }
                (State::Quoted { angle: true }, c) => piece.address.push(c),
                (State::Quoted { angle: false }, c) => {
                    piece.text.push(c);
                    piece.name.push(c);
                }
                (State::Comment(depth), '(') => {
                    piece.comment.push(c);
                    state = State::Comment(depth + 1);
                }
                (State::Comment(1), ')') => state = State::Plain,
                (State::Comment(depth), c) => {
                    piece.comment.push(c);
                    if c == ')' {
                        state = State::Comment(depth - 1);
                    }
                }
                (State::Angle, '>') => state = State::Plain,
                (State::Angle, '"') => {
                    piece.address.push('"');
                    state = State::Quoted { angle: true };
                }
                (State::Angle, c) => piece.address.push(c),
                (State::Plain, '"') => {
                    piece.text.push('"');
                    state = State::Quoted { angle: false };
                }
                (State::Plain, '(') => state = State::Comment(1),
                (State::Plain, '<') => {
                    piece.angle = true;
                    state = State::Angle;
                }
                (State::Plain, ',' | ';') => std::mem::take(&mut piece).finish(&mut list),
                // A group's name goes; a colon within brackets (an IPv6 literal) stays.
                (State::Plain, ':') if !piece.text.contains('[') => piece = Piece::default(),
                (State::Plain, c) => {
                    piece.text.push(c);
                    piece.name.push(c);
                }
            }
        }
        match state {
            State::Plain => piece.finish(&mut list),
            _ => list.problems.push(text.trim().to_owned()),
        }
        list
    }
}

#[derive(Debug, Clone, Copy)]
enum State {
    Plain,
    Quoted { angle: bool },
    Comment(u32),
    Angle,
}

/// One address underway.
#[derive(Default)]
struct Piece {
    /// All outside of comments and angle brackets, as written.
    text: String,
    /// The same without quotes.
    name: String,
    comment: String,
    /// What stands in angle brackets.
    address: String,
    angle: bool,
}

impl Piece {
    fn finish(self, list: &mut AddressList) {
        let decode = |name: &str| crate::decode_header_text(name.trim().as_bytes());
        let (name, address) = if self.angle {
            let address = self.address.trim();
            // An old source route before the address says nothing today (RFC 5322 section 4.4).
            let route = address.starts_with('@');
            let address = address.split_once(':').filter(|_| route).map_or(address, |(_, address)| address);
            (decode(&self.name), address.to_owned())
        } else {
            (decode(&self.comment), self.text.trim().to_owned())
        };
        if address.is_empty() {
            // Empty list elements are obsolete but lawful; "Name <>" is no address.
            if self.angle {
                list.problems.push(format!("{} <>", self.text.trim()));
            }
        } else if bare_space(&address) {
            list.problems.push(address);
        } else {
            list.people.push(Person { name, address });
        }
    }
}

/// Whether white space or a control character stands outside of quotes, or a control character anywhere.
fn bare_space(address: &str) -> bool {
    let mut quoted = false;
    address.chars().any(|c| {
        quoted ^= c == '"';
        c.is_control() || (c.is_whitespace() && !quoted)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Goal: lists are read as people write them, and what is no address is told and not guessed.
    #[test]
    fn lists_are_read() {
        let check = |text: &str, expected: &[(&str, &str)], problems: usize| {
            let list = AddressList::parse(text);
            let got: Vec<_> = list.people.iter().map(|p| (p.name.as_str(), p.address.as_str())).collect();
            assert_eq!((got.as_slice(), list.problems.len()), (expected, problems), "{text}");
        };
        check("a@b", &[("", "a@b")], 0);
        check("root, a@b ,, c@d", &[("", "root"), ("", "a@b"), ("", "c@d")], 0);
        check("A B <a@b>", &[("A B", "a@b")], 0);
        check("\"B, A\" <a@b>, c@d (C (x) D)", &[("B, A", "a@b"), ("C (x) D", "c@d")], 0);
        check("group: a@b, C <c@d>;, e@f", &[("", "a@b"), ("C", "c@d"), ("", "e@f")], 0);
        check("undisclosed-recipients:;", &[], 0);
        check("\"a b\"@c", &[("", "\"a b\"@c")], 0);
        check("<\"a,b>\"@c>", &[("", "\"a,b>\"@c")], 0);
        check("<@r1,@r2:a@b>", &[("", "a@b")], 0);
        check("=?UTF-8?B?5bGx55Sw?= <a@b>", &[("山田", "a@b")], 0);
        check("a@[IPv6:::1]", &[("", "a@[IPv6:::1]")], 0);
        check("a b c", &[], 1);
        check("<a@b", &[], 1);
        check("\"a", &[], 1);
        check("X <>", &[], 1);
        check("|sh, /etc/passwd, -oX", &[("", "|sh"), ("", "/etc/passwd"), ("", "-oX")], 0);
    }

    /// Goal: a name cannot leave its place in the header.
    #[test]
    fn names_are_written_safely() {
        let check = |name: &str, expected: &str| {
            let person = Person { name: name.into(), address: "a@b".into() };
            assert_eq!(person.header_text(), expected);
        };
        check("", "a@b");
        check("A B", "A B <a@b>");
        check("B, \"A\"", "\"B, \\\"A\\\"\" <a@b>");
        check("A\r\nBcc: x", "\"A  Bcc: x\" <a@b>");
        check("山田", "=?UTF-8?B?5bGx55Sw?= <a@b>");
    }
}
