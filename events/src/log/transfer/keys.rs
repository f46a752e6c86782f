//! The keys of personal data go with the log: without them the copy is as if everybody had been erased.

use crate::keys::{KeyError, KeyRecord, KeyRing};

/// Records read at once.
const PAGE: usize = 1000;

/// What both key files hold after a transfer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct KeysTransferred {
    /// Keys.
    pub keys: u64,
    /// People who were erased; they stay erased.
    pub erased: u64,
    /// Records of either kind that the target did not hold before.
    pub news: u64,
}

/// Takes every key record of `source` over into `target`. Both need the same master key. Do it before the commits, whose
/// values were sealed with these keys, and once more after them. Repeating it changes nothing.
///
/// # Errors
/// [`KeyError::WrongMasterKey`], [`KeyError::Refused`] when the target knows another key under the same id,
/// [`KeyError::File`].
pub fn transfer_keys(source: &KeyRing, target: &KeyRing) -> Result<KeysTransferred, KeyError> {
    let mut done = KeysTransferred::default();
    let mut after = 0;
    loop {
        let page = source.records_after(after, PAGE)?;
        let Some(last) = page.last() else { return Ok(done) };
        after = last.number;
        for numbered in &page {
            done.news += u64::from(target.import(&numbered.record)?);
            match numbered.record {
                KeyRecord::Key { .. } => done.keys += 1,
                KeyRecord::Erased { .. } => done.erased += 1,
            }
        }
    }
}
