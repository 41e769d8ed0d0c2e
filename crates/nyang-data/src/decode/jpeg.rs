//! Whether a JPEG file has its end. Decoders fill what is missing with grey and say nothing; half a photograph is no training image.

/// Whether the end-of-image marker is where it belongs: after the last scan, not only in a thumbnail.
pub(crate) fn is_whole(file: &[u8]) -> bool {
    file.ends_with(&[0xFF, 0xD9]) || ends_after_its_scans(file)
}

/// The same for files that have something after their end: cameras' further pictures, zeros, garbage.
fn ends_after_its_scans(file: &[u8]) -> bool {
    let mut at = 2; // after the start marker
    while let Some((marker, after)) = next_marker(file, at) {
        match marker {
            0xD9 => return true,
            // tables, scans, comments, applications' own: a length of two bytes, which counts itself, and content
            0xC0..=0xC7 | 0xC9..=0xCF | 0xDA..=0xDF | 0xE0..=0xEF | 0xFE => {
                let Some(&[high, low]) = file.get(after..after + 2) else { return false };
                at = after + usize::from(u16::from_be_bytes([high, low])).max(2);
            }
            _ => at = after, // 00 is a stuffed FF of the scan, D0 to D7 restart it, the rest is damage within it
        }
    }
    false
}

/// The first FF that something else than FF follows: that byte, and the place after it.
fn next_marker(file: &[u8], from: usize) -> Option<(u8, usize)> {
    let start = from + file.get(from..)?.iter().position(|&b| b == 0xFF)?;
    let marker = start + file.get(start..)?.iter().position(|&b| b != 0xFF)?;
    Some((*file.get(marker)?, marker + 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_counts_only_after_the_scan() {
        let thumbnail = [0xFF, 0xE1, 0, 6, 0xFF, 0xD9, 1, 2]; // an application's segment with an end marker inside
        let scan = [0xFF, 0xDA, 0, 3, 9, 0x12, 0xFF, 0x00, 0xFF, 0xD0, 0x34, 0xFF, 0x3C];
        let file = |parts: &[&[u8]]| [&[0xFF, 0xD8], parts.concat().as_slice()].concat();
        assert!(is_whole(&file(&[&thumbnail, &scan, &[0xFF, 0xD9]])));
        assert!(is_whole(&file(&[&thumbnail, &scan, &[0xFF, 0xFF, 0xD9, 0, 0, 7]])));
        assert!(!is_whole(&file(&[&thumbnail, &scan])));
        assert!(!is_whole(&file(&[&scan, &[0xFF]])));
        assert!(!is_whole(&file(&[&thumbnail[..6], &[0, 0]])));
        assert!(!is_whole(&[0xFF, 0xD8, 0xFF, 0xDA, 0]) && !is_whole(&[0xFF]) && !is_whole(&[]));
    }
}
