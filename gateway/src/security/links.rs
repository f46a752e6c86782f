//! Opaque links back to us, consistency tokens and cursors: base64url with a MAC, so that nobody makes one up.

use aws_lc_rs::{constant_time, hmac};
use data_encoding::BASE64URL_NOPAD;
use events::{Category, LogId, Position, Service, StreamId, stream::Partition};
use projections::Cursor;
use secrecy::ExposeSecret;
use uuid::Uuid;

use crate::settings::SecretSettings;

/// Bytes of the MAC that are kept.
const MAC_BYTES: usize = 16;
/// The first byte of a consistency token: its format.
const TOKEN_FORMAT: u8 = 2;
/// Places that a token carries at most: those that were noted last. One for each partition is all there can be.
const PLACES_MAX: usize = 32;

/// Makes and reads links.
pub struct Links {
    token_key: hmac::Key,
    cursor_key: hmac::Key,
}

impl std::fmt::Debug for Links {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Links").finish_non_exhaustive()
    }
}

/// What a consistency token stands for: a command's place on the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// Where the command's commit stands.
    pub position: Position,
    /// The stream it belongs to.
    pub stream: StreamId,
}

/// What a client has seen of the log: the last place in each partition, so that what was seen anywhere can be waited for
/// everywhere.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Places(Vec<Place>);

impl Places {
    /// Takes note of one more place.
    pub fn note(&mut self, place: Place) {
        let same = |known: &Place| known.position.partition == place.position.partition;
        if let Some(known) = self.0.iter().position(same) {
            if self.0[known].position.offset >= place.position.offset {
                return;
            }
            self.0.remove(known);
        }
        self.0.push(place);
        if self.0.len() > PLACES_MAX {
            self.0.remove(0);
        }
    }

    /// One for each partition, the one noted last at the end.
    pub fn iter(&self) -> impl Iterator<Item = Place> {
        self.0.iter().copied()
    }
}

impl Links {
    /// Prepares the keys.
    pub fn new(settings: &SecretSettings) -> Self {
        let secret = hmac::Key::new(hmac::HMAC_SHA256, settings.link_secret.expose_secret().as_bytes());
        let key_for =
            |purpose: &[u8]| hmac::Key::new(hmac::HMAC_SHA256, hmac::sign(&secret, purpose).as_ref());
        Self { token_key: key_for(b"consistency token"), cursor_key: key_for(b"cursor") }
    }

    /// The token of these places on this log.
    pub fn consistency_token(&self, log: LogId, places: &Places) -> String {
        let mut bytes = Vec::with_capacity(64 * places.0.len() + MAC_BYTES);
        bytes.push(TOKEN_FORMAT);
        bytes.extend(log.0.as_bytes());
        for place in &places.0 {
            let name = place.stream.category.name().as_bytes();
            bytes.extend(place.position.partition.number.to_be_bytes());
            bytes.extend(place.position.offset.to_be_bytes());
            bytes.extend(place.stream.uuid.as_bytes());
            bytes.push(u8::try_from(name.len()).expect("names of categories are short"));
            bytes.extend(name);
        }
        seal(&self.token_key, b"", bytes)
    }

    /// The places a token stands for; `None` when it was changed or belongs to another log.
    pub fn read_consistency_token(&self, log: LogId, token: &str) -> Option<Places> {
        let bytes = open(&self.token_key, b"", token)?;
        let (format, rest) = bytes.split_first()?;
        let (of, mut rest) = rest.split_first_chunk::<16>()?;
        if *format != TOKEN_FORMAT || of != log.0.as_bytes() {
            return None;
        }
        let mut places = Places::default();
        while !rest.is_empty() {
            let (place, behind) = read_place(rest)?;
            places.note(place);
            rest = behind;
        }
        Some(places)
    }

    /// The cursor of a query; `shape` is all that made the query, the caller included.
    pub fn cursor(&self, shape: &str, cursor: &Cursor) -> String {
        let bytes = serde_json::to_vec(cursor).expect("a cursor is a scalar and a key");
        seal(&self.cursor_key, shape.as_bytes(), bytes)
    }

    /// The cursor again; `None` when it was changed or belongs to another query.
    pub fn read_cursor(&self, shape: &str, text: &str) -> Option<Cursor> {
        serde_json::from_slice(&open(&self.cursor_key, shape.as_bytes(), text)?).ok()
    }
}

/// The first place in `bytes`, and what stands behind it.
fn read_place(bytes: &[u8]) -> Option<(Place, &[u8])> {
    let (number, rest) = bytes.split_first_chunk::<2>()?;
    let (offset, rest) = rest.split_first_chunk::<8>()?;
    let (uuid, rest) = rest.split_first_chunk::<16>()?;
    let (length, rest) = rest.split_first()?;
    let (name, rest) = rest.split_at_checked(usize::from(*length))?;
    let category = Category::from_name(std::str::from_utf8(name).ok()?)?;
    let service: Service = category.service();
    let partition = Partition { service, number: u16::from_be_bytes(*number) };
    let position = Position { partition, offset: i64::from_be_bytes(*offset) };
    let stream = StreamId { category, uuid: Uuid::from_bytes(*uuid) };
    Some((Place { position, stream }, rest))
}

fn mac(key: &hmac::Key, context: &[u8], bytes: &[u8]) -> [u8; MAC_BYTES] {
    let mut signing = hmac::Context::with_key(key);
    signing.update(&(context.len() as u64).to_be_bytes());
    signing.update(context);
    signing.update(bytes);
    let mut mac = [0; MAC_BYTES];
    mac.copy_from_slice(&signing.sign().as_ref()[..MAC_BYTES]);
    mac
}

fn seal(key: &hmac::Key, context: &[u8], mut bytes: Vec<u8>) -> String {
    let mac = mac(key, context, &bytes);
    bytes.extend(mac);
    BASE64URL_NOPAD.encode(&bytes)
}

fn open(key: &hmac::Key, context: &[u8], text: &str) -> Option<Vec<u8>> {
    let mut bytes = BASE64URL_NOPAD.decode(text.as_bytes()).ok()?;
    let given = bytes.split_off(bytes.len().checked_sub(MAC_BYTES)?);
    constant_time::verify_slices_are_equal(&mac(key, context, &bytes), &given).ok()?;
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(number: u16, offset: i64) -> Place {
        let partition = Partition { service: Service::Jobs, number };
        let stream =
            StreamId { category: Category::Job, uuid: Uuid::from_u128(offset.unsigned_abs().into()) };
        Place { position: Position { partition, offset }, stream }
    }

    #[test]
    fn a_token_gives_back_the_last_place_of_each_partition_on_its_own_log_only() {
        let links = Links::new(&crate::settings::Layers::defaults().settings().expect("they hold").secrets);
        let log = LogId(Uuid::from_u128(7));
        let mut places = Places::default();
        for (number, offset) in [(0, 5), (3, 1), (0, 9), (3, 0)] {
            places.note(place(number, offset));
        }
        assert_eq!(places.iter().collect::<Vec<_>>(), [place(3, 1), place(0, 9)]);
        let token = links.consistency_token(log, &places);
        assert_eq!(links.read_consistency_token(log, &token), Some(places));
        assert_eq!(links.read_consistency_token(LogId(Uuid::from_u128(8)), &token), None);
        assert_eq!(links.read_consistency_token(log, &token[1..]), None);
    }

    #[test]
    fn a_token_does_not_grow_without_end() {
        let mut places = Places::default();
        (0..100).for_each(|number| places.note(place(number, 1)));
        assert_eq!(places.iter().count(), PLACES_MAX);
        assert_eq!(places.iter().last(), Some(place(99, 1)));
    }
}
