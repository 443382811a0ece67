//! "Did you mean".

/// The one of `known` that `word` was probably meant to be: at most one edit for three letters (an edit inserts, removes or
/// replaces a letter, or swaps two neighbours), case ignored. None when nothing is near enough.
pub fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let wanted: Vec<char> = word.to_lowercase().chars().collect();
    let limit = (wanted.len() / 3).clamp(1, 4);
    known
        .into_iter()
        .map(|candidate| {
            (distance(&wanted, &candidate.to_lowercase().chars().collect::<Vec<_>>()), candidate)
        })
        .filter(|(distance, _)| *distance <= limit)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// Longest word that is compared; longer ones are no slips of a finger, and the table would grow with the square.
const WORD_CHARS_MAX: usize = 64;

fn distance(a: &[char], b: &[char]) -> usize {
    if a.len() > WORD_CHARS_MAX || b.len() > WORD_CHARS_MAX {
        return usize::MAX;
    }
    let width = b.len() + 1;
    let mut table = vec![0usize; (a.len() + 1) * width];
    for i in 0..=a.len() {
        for j in 0..=b.len() {
            let value = if i == 0 || j == 0 {
                i + j
            } else {
                let cost = usize::from(a[i - 1] != b[j - 1]);
                let mut best = (table[(i - 1) * width + j] + 1)
                    .min(table[i * width + j - 1] + 1)
                    .min(table[(i - 1) * width + j - 1] + cost);
                if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                    best = best.min(table[(i - 2) * width + j - 2] + 1);
                }
                best
            };
            table[i * width + j] = value;
        }
    }
    table[a.len() * width + b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Goal: slips of a finger are found, and what is another word is not guessed.
    #[test]
    fn slips_are_found_and_other_words_are_not() {
        let known = ["server", "pool", "driftfile", "makestep", "rtcsync"];
        for (word, expected) in [
            ("sevrer", Some("server")),
            ("Driftfiel", Some("driftfile")),
            ("makstep", Some("makestep")),
            ("zebra", None),
            ("", None),
        ] {
            assert_eq!(nearest(word, known), expected, "{word}");
        }
    }
}
