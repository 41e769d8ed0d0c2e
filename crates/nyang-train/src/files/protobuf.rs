//! Protocol Buffers, written and never read: what TensorBoard, Weights & Biases and ONNX want to be told in.
//!
//! A message is a run of fields, and a field is its number, its wire type and its value. There are no schemas here: who writes a message
//! knows its fields' numbers, and says in a comment or by a name what each is.
//!
//! ```text
//! key     = number · 8 + wire type, as a varint          varint = seven bits a byte, the lowest first, the top bit set but on the last
//! type 0  = varint            integers, booleans, enumerations; negative ones as 64-bit two's complement, ten bytes
//! type 1  = eight bytes       double, little-endian          type 5 = four bytes       float, little-endian
//! type 2  = length and bytes  strings, bytes, messages, and packed repeated numbers
//! ```
//!
//! Reference: the Protocol Buffers encoding guide, <https://protobuf.dev/programming-guides/encoding/>.

/// A message under construction: each method appends a field. A repeated field is one that is appended several times.
///
/// ```text
/// Message::new().int(1, 150).string(2, "testing")     08 96 01 12 07 74 65 73 74 69 6e 67
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Message(Vec<u8>);

/// How a field's value lies in the message.
#[derive(Clone, Copy)]
enum Wire {
    Varint = 0,
    Fixed64 = 1,
    Length = 2,
    Fixed32 = 5,
}

impl Message {
    /// A message without fields.
    pub fn new() -> Self {
        Self::default()
    }

    /// An integer, a boolean or an enumeration: `int32`, `int64`, `uint64`, `bool`, `enum`.
    pub fn int(mut self, field: u32, value: i64) -> Self {
        self.key(field, Wire::Varint);
        varint(&mut self.0, value as u64); // negative numbers as two's complement of 64 bits
        self
    }

    /// A `float`.
    pub fn float(mut self, field: u32, value: f32) -> Self {
        self.key(field, Wire::Fixed32);
        self.0.extend(value.to_le_bytes());
        self
    }

    /// A `double`.
    pub fn double(mut self, field: u32, value: f64) -> Self {
        self.key(field, Wire::Fixed64);
        self.0.extend(value.to_le_bytes());
        self
    }

    /// A `string`.
    pub fn string(self, field: u32, value: &str) -> Self {
        self.bytes(field, value.as_bytes())
    }

    /// A run of `bytes`.
    pub fn bytes(mut self, field: u32, value: &[u8]) -> Self {
        self.key(field, Wire::Length);
        varint(&mut self.0, value.len() as u64);
        self.0.extend(value);
        self
    }

    /// A message within this one.
    pub fn message(self, field: u32, value: Message) -> Self {
        self.bytes(field, &value.0)
    }

    /// Repeated integers, packed into one field.
    pub fn ints(self, field: u32, values: &[i64]) -> Self {
        let mut packed = Vec::new();
        values.iter().for_each(|&value| varint(&mut packed, value as u64));
        self.bytes(field, &packed)
    }

    /// Repeated `double`s, packed into one field.
    pub fn doubles(self, field: u32, values: &[f64]) -> Self {
        self.bytes(field, &values.iter().flat_map(|value| value.to_le_bytes()).collect::<Vec<u8>>())
    }

    /// The message as it is written to a file.
    pub fn into_bytes(self) -> Vec<u8> {
        self.0
    }

    fn key(&mut self, field: u32, wire: Wire) {
        varint(&mut self.0, u64::from(field) << 3 | wire as u64);
    }
}

fn varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn says(message: Message, bytes: &[u8]) {
        assert_eq!(message.into_bytes(), bytes);
    }

    #[test]
    fn the_examples_of_the_encoding_guide() {
        says(Message::new().int(1, 150), &[0x08, 0x96, 0x01]);
        says(Message::new().string(2, "testing"), &[0x12, 0x07, 0x74, 0x65, 0x73, 0x74, 0x69, 0x6e, 0x67]);
        says(Message::new().message(3, Message::new().int(1, 150)), &[0x1a, 0x03, 0x08, 0x96, 0x01]);
        says(Message::new().ints(6, &[3, 270, 86942]), &[0x32, 0x06, 0x03, 0x8e, 0x02, 0x9e, 0xa7, 0x05]);
        says(Message::new().int(1, -2), &[0x08, 0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01]);
    }

    // Printed by Python's google.protobuf 7.36: `SerializeToString()` of a message with these fields.
    #[test]
    fn numbers_are_little_endian_and_a_long_field_number_takes_more_bytes() {
        says(Message::new().float(1, 1.5), &[0x0d, 0x00, 0x00, 0xc0, 0x3f]);
        says(Message::new().double(1, -0.25), &[0x09, 0, 0, 0, 0, 0, 0, 0xd0, 0xbf]);
        says(Message::new().int(16, 1), &[0x80, 0x01, 0x01]);
        says(Message::new().doubles(2, &[1.0]), &[0x12, 8, 0, 0, 0, 0, 0, 0, 0xf0, 0x3f]);
        says(Message::new().bytes(1, &[]), &[0x0a, 0]);
    }

    #[test]
    fn a_message_of_more_than_127_bytes_has_a_length_of_two_bytes() {
        let inner = Message::new().string(1, &"x".repeat(300));
        let bytes = Message::new().message(1, inner).into_bytes();
        assert_eq!(bytes[..6], [0x0a, 0xaf, 0x02, 0x0a, 0xac, 0x02]); // 303 = 0b10_0101111, 300 = 0b10_0101100
        assert_eq!(bytes.len(), 3 + 3 + 300);
    }
}
