//! STRUCTURED-DATA (RFC 5424 section 6.3): found, walked, escaped.

/// Splits STRUCTURED-DATA (or the nil value) from what follows; none where it is broken.
pub(crate) fn split(text: &[u8]) -> Option<(&[u8], &[u8])> {
    if text.first() == Some(&b'-') && matches!(text.get(1), None | Some(b' ')) {
        return text.split_at_checked(1);
    }
    let mut at = 0;
    while text.get(at) == Some(&b'[') {
        at = element_end(text, at + 1)?;
    }
    if at == 0 {
        return None;
    }
    text.split_at_checked(at)
}

/// The position after the `]` that closes the element whose inside begins at `at`.
fn element_end(text: &[u8], mut at: usize) -> Option<usize> {
    let mut quoted = false;
    loop {
        match *text.get(at)? {
            b'\\' if quoted => at += 1,
            b'"' => quoted = !quoted,
            b']' if !quoted => return Some(at + 1),
            _ => {}
        }
        at += 1;
    }
}

/// One SD-ELEMENT.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Element<'a> {
    /// SD-ID, for example `timeQuality`.
    pub id: &'a [u8],
    params: &'a [u8],
}

impl<'a> Element<'a> {
    /// Its parameters: names and values; `\"`, `\\` and `\]` in the values are still escaped.
    pub fn params(&self) -> Params<'a> {
        Params(self.params)
    }

    /// The first value of the parameter `name`, still escaped.
    pub fn param(&self, name: &[u8]) -> Option<&'a [u8]> {
        self.params().find(|(known, _)| *known == name).map(|(_, value)| value)
    }
}

/// Walks the elements of `structured_data` as it stands in a [`crate::Message`].
pub fn elements(structured_data: &[u8]) -> Elements<'_> {
    Elements(structured_data)
}

/// An iterator over [`Element`]s.
#[derive(Debug, Clone)]
pub struct Elements<'a>(&'a [u8]);

impl<'a> Iterator for Elements<'a> {
    type Item = Element<'a>;

    fn next(&mut self) -> Option<Element<'a>> {
        let inside = self.0.strip_prefix(b"[")?;
        let end = element_end(self.0, 1)?;
        let element = inside.get(..end.checked_sub(2)?)?;
        self.0 = self.0.get(end..)?;
        let id_end = element.iter().position(|byte| *byte == b' ').unwrap_or(element.len());
        let (id, params) = element.split_at_checked(id_end)?;
        Some(Element { id, params })
    }
}

/// An iterator over the parameters of an element: name, and value as written.
#[derive(Debug, Clone)]
pub struct Params<'a>(&'a [u8]);

impl<'a> Iterator for Params<'a> {
    type Item = (&'a [u8], &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let start = self.0.iter().position(|byte| *byte != b' ')?;
        let text = self.0.get(start..)?;
        let equals = text.iter().position(|byte| *byte == b'=')?;
        let name = text.get(..equals)?;
        let value = text.get(equals + 1..)?.strip_prefix(b"\"")?;
        let mut end = 0;
        loop {
            match *value.get(end)? {
                b'\\' => end += 2,
                b'"' => break,
                _ => end += 1,
            }
        }
        self.0 = value.get(end + 1..)?;
        Some((name, value.get(..end)?))
    }
}

/// Appends a PARAM-VALUE with its three special characters escaped (RFC 5424 section 6.3.3).
pub fn escape_value(value: &[u8], out: &mut Vec<u8>) {
    for byte in value {
        if matches!(byte, b'"' | b'\\' | b']') {
            out.push(b'\\');
        }
        out.push(*byte);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Goal: elements and parameters are found, with escapes, and broken ones end the walk.
    #[test]
    fn elements_are_walked() {
        let check = |text: &str, expected: &str| {
            let mut shown = String::new();
            for element in elements(text.as_bytes()) {
                shown.push_str(&String::from_utf8_lossy(element.id));
                for (name, value) in element.params() {
                    shown.push_str(&format!(
                        " {}={}",
                        String::from_utf8_lossy(name),
                        String::from_utf8_lossy(value)
                    ));
                }
                shown.push(';');
            }
            assert_eq!(shown, expected);
        };
        check(r#"[timeQuality tzKnown="1" isSynced="0"]"#, "timeQuality tzKnown=1 isSynced=0;");
        check(r#"[a x="]\]\"" y="2"][b@1]"#, r#"a x=]\]\" y=2;b@1;"#);
        check(r#"[a x="1"#, "");
        check(r#"[a x=1]"#, "a;");
        check("[]", ";");
        check("-", "");
    }
}
