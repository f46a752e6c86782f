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
const TOKEN_FORMAT: u8 = 1;

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

impl Links {
    /// Prepares the keys.
    pub fn new(settings: &SecretSettings) -> Self {
        let secret = hmac::Key::new(hmac::HMAC_SHA256, settings.link_secret.expose_secret().as_bytes());
        let key_for =
            |purpose: &[u8]| hmac::Key::new(hmac::HMAC_SHA256, hmac::sign(&secret, purpose).as_ref());
        Self { token_key: key_for(b"consistency token"), cursor_key: key_for(b"cursor") }
    }

    /// The token of a place on this log.
    pub fn consistency_token(&self, log: LogId, place: Place) -> String {
        let mut bytes = Vec::with_capacity(64 + MAC_BYTES);
        bytes.push(TOKEN_FORMAT);
        bytes.extend(log.0.as_bytes());
        bytes.extend(place.position.partition.number.to_be_bytes());
        bytes.extend(place.position.offset.to_be_bytes());
        bytes.extend(place.stream.uuid.as_bytes());
        bytes.extend(place.stream.category.name().as_bytes());
        seal(&self.token_key, b"", bytes)
    }

    /// The place a token stands for; `None` when it was changed or belongs to another log.
    pub fn read_consistency_token(&self, log: LogId, token: &str) -> Option<Place> {
        let bytes = open(&self.token_key, b"", token)?;
        let (format, rest) = bytes.split_first()?;
        let (of, rest) = rest.split_first_chunk::<16>()?;
        if *format != TOKEN_FORMAT || of != log.0.as_bytes() {
            return None;
        }
        let (number, rest) = rest.split_first_chunk::<2>()?;
        let (offset, rest) = rest.split_first_chunk::<8>()?;
        let (uuid, name) = rest.split_first_chunk::<16>()?;
        let category = Category::from_name(std::str::from_utf8(name).ok()?)?;
        let service: Service = category.service();
        let partition = Partition { service, number: u16::from_be_bytes(*number) };
        Some(Place {
            position: Position { partition, offset: i64::from_be_bytes(*offset) },
            stream: StreamId { category, uuid: Uuid::from_bytes(*uuid) },
        })
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
