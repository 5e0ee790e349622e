//! What is taken from a peer that speaks Kryo, checked before anything is allocated.

/// Bytes of one encoded value at most: a probe, a list of members, a datagram.
pub const VALUE_BYTES_MAX: usize = 4 << 20;
/// Bytes of UDP payload that a datagram can have.
pub const DATAGRAM_BYTES_MAX: usize = 65_507;
/// UTF-16 units of a string at most. `brokerInfo` of 254 partitions has about 8,000.
pub const STRING_UNITS_MAX: usize = 16 << 10;
/// Properties of one member at most.
pub const PROPERTIES_MAX: usize = 64;
/// Bytes of all keys and values of one member's properties at most.
pub const PROPERTIES_BYTES_MAX: usize = 32 << 10;
/// Members of one list at most.
pub const RECORDS_MAX: usize = 4_096;
/// Fields of one class at most, unknown ones of newer releases included.
pub const FIELDS_MAX: usize = 32;
/// Bytes of a field's name at most.
pub const FIELD_NAME_BYTES_MAX: usize = 64;
/// Bytes of an encoded record at least: eleven fields with a chunk and its end each.
pub const RECORD_BYTES_MIN: usize = 22;

const _: () = {
    // One member always fits a datagram, with what stands around it.
    assert!(PROPERTIES_BYTES_MAX + 6 * PROPERTIES_MAX + 1_024 < DATAGRAM_BYTES_MAX);
    assert!(STRING_UNITS_MAX <= PROPERTIES_BYTES_MAX);
};
