//! Classes of characters, as Linux's own table has them (ISO 8859-1 above ASCII).

/// Says whether this is a control character; those above ASCII do not count.
pub(super) const fn is_control(c: u8) -> bool {
    c.is_ascii_control()
}

const fn is_upper(c: u8) -> bool {
    c.is_ascii_uppercase() || matches!(c, 0xc0..=0xd6 | 0xd8..=0xde)
}

const fn is_lower(c: u8) -> bool {
    c.is_ascii_lowercase() || matches!(c, 0xdf..=0xf6 | 0xf8..=0xff)
}

/// Says whether this is a letter or a digit.
pub(super) const fn is_alphanumeric(c: u8) -> bool {
    c.is_ascii_digit() || is_upper(c) || is_lower(c)
}

/// Returns the small letter.
pub(super) const fn to_lower(c: u8) -> u8 {
    if is_upper(c) { c + 0x20 } else { c }
}

/// Returns the capital letter.
pub(super) const fn to_upper(c: u8) -> u8 {
    if is_lower(c) { c - 0x20 } else { c }
}
