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
/// [`KeyError::File`] and [`KeyError::Away`].
pub fn transfer_keys(source: &KeyRing, target: &KeyRing) -> Result<KeysTransferred, KeyError> {
    let mut done = KeysTransferred::default();
    let mut after = 0;
    loop {
        let page = source.records_after(after, PAGE)?;
        let Some(last) = page.last() else { return Ok(done) };
        after = last.number;
        let records: Vec<_> = page.into_iter().map(|numbered| numbered.record).collect();
        done.news += target.import_all(&records)?;
        let keys = records.iter().filter(|record| matches!(record, KeyRecord::Key { .. })).count();
        done.keys += keys as u64;
        done.erased += (records.len() - keys) as u64;
    }
}
