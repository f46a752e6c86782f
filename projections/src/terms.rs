//! Search by words: the one tokeniser, for documents and queries alike.
//!
//! A term is a run of letters and digits (Unicode), in lower case. A document keeps one sorted, bounded array of terms
//! under one index; a query finds the documents that have every one of its terms. There is no stemming and no ranking:
//! every engine gives the same answers in the same order.

use std::collections::BTreeSet;

/// Longer words are cut here, in documents and queries alike, in characters.
pub const TERM_CHARACTERS_MAX: usize = 32;
/// A document's terms beyond this many are not searchable.
pub const DOCUMENT_TERMS_MAX: usize = 200;
/// A query's words beyond this many are ignored.
pub const QUERY_TERMS_MAX: usize = 8;

/// The terms of a document's texts, the most telling text first: sorted, each once, bounded.
pub fn of_document<'a>(texts: impl IntoIterator<Item = &'a str>) -> Vec<String> {
    bounded(texts, DOCUMENT_TERMS_MAX)
}

/// The terms of a query: sorted, each once, bounded.
pub fn of_query(words: &str) -> Vec<String> {
    bounded([words], QUERY_TERMS_MAX)
}

fn bounded<'a>(texts: impl IntoIterator<Item = &'a str>, terms_max: usize) -> Vec<String> {
    let mut terms = BTreeSet::new();
    for word in texts.into_iter().flat_map(|text| text.split(|c: char| !c.is_alphanumeric())) {
        if terms.len() == terms_max {
            break;
        }
        if !word.is_empty() {
            terms.insert(word.chars().flat_map(char::to_lowercase).take(TERM_CHARACTERS_MAX).collect());
        }
    }
    terms.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_runs_of_letters_and_digits_in_lower_case_each_once() {
        let terms = of_document(["Rust & SQLite: a Rust-driven ÜBERMUT", "web-development"]);
        assert_eq!(terms, ["a", "development", "driven", "rust", "sqlite", "web", "übermut"]);
        assert_eq!(of_query("  "), Vec::<String>::new());
    }

    #[test]
    fn a_long_word_is_found_by_itself_and_nothing_grows_without_bound() {
        let long = "x".repeat(1000);
        assert_eq!(of_document([long.as_str()]), of_query(&long));
        let many: String = (0..1000).map(|n| format!("w{n} ")).collect();
        assert_eq!(of_document([many.as_str()]).len(), DOCUMENT_TERMS_MAX);
        assert_eq!(of_query(&many).len(), QUERY_TERMS_MAX);
    }
}
