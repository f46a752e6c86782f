//! Where a key goes: murmur2 as Java's client computes it, so that a stranger's client finds a key where ours put it.

const SEED: u32 = 0x9747_b28c;
const MIX: u32 = 0x5bd1_e995;

/// The partition of `key` in a topic with `partitions` partitions (at least one), as the default partitioner of Java's
/// client has it.
pub(crate) fn partition_of(key: &[u8], partitions: u16) -> u16 {
    let positive = hash(key) & 0x7fff_ffff;
    let number = positive % u32::from(partitions.max(1));
    u16::try_from(number).expect("less than the number of partitions, which is 16 bits")
}

/// Murmur2, 32 bits, with the seed of Java's client.
fn hash(data: &[u8]) -> u32 {
    let length = u32::try_from(data.len()).unwrap_or(u32::MAX);
    let mut hash = SEED ^ length;
    let mut words = data.chunks_exact(4);
    for word in &mut words {
        let mut word = u32::from_le_bytes([word[0], word[1], word[2], word[3]]).wrapping_mul(MIX);
        word ^= word >> 24;
        hash = hash.wrapping_mul(MIX) ^ word.wrapping_mul(MIX);
    }
    let rest = words.remainder();
    if !rest.is_empty() {
        for (index, byte) in rest.iter().enumerate() {
            hash ^= u32::from(*byte) << (8 * index);
        }
        hash = hash.wrapping_mul(MIX);
    }
    hash ^= hash >> 13;
    hash = hash.wrapping_mul(MIX);
    hash ^ (hash >> 15)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The table of Kafka's own test of its client (`UtilsTest.testMurmur2`).
    #[test]
    fn hashes_are_those_of_javas_client() {
        let known = [
            ("21", -973_932_308),
            ("foobar", -790_332_482),
            ("a-little-bit-long-string", -985_981_536),
            ("a-little-bit-longer-string", -1_486_304_829),
            ("lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58_897_971),
            ("abc", 479_470_107),
        ];
        for (key, expected) in known {
            assert_eq!(hash(key.as_bytes()).cast_signed(), expected, "{key}");
        }
    }

    #[test]
    fn a_partition_is_the_positive_hash_modulo_their_number() {
        assert_eq!(
            partition_of(b"21", 8),
            u16::try_from((-973_932_308_i32 & 0x7fff_ffff) % 8).expect("small")
        );
        assert_eq!(partition_of(b"anything", 1), 0);
        assert_eq!(partition_of(b"", 0), 0);
    }
}
