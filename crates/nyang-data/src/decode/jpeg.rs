//! What a JPEG file's markers say without decoding it: whether it has its end, and whether it has EXIF.
//!
//! Decoders fill what is missing with grey and say nothing; half a photograph is no training image.

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

/// Whether there is an EXIF segment before the image begins; also where the segments do not follow one another as they should, for then
/// the decoder is to decide.
pub(crate) fn may_have_exif(file: &[u8]) -> bool {
    let mut at = 2; // after the start marker
    while let Some(&[0xFF, marker, high, low]) = file.get(at..at + 4) {
        match marker {
            0xDA => return false,
            0xE1 if file.get(at + 4..).is_some_and(|content| content.starts_with(b"Exif\0\0")) => return true,
            0xC0..=0xC7 | 0xC9..=0xCF | 0xDB..=0xDF | 0xE0..=0xEF | 0xFE => {
                at += 2 + usize::from(u16::from_be_bytes([high, low])).max(2);
            }
            _ => return true,
        }
    }
    true
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
    fn exif_is_seen_before_the_scan_and_suspected_where_segments_are_odd() {
        let file = |parts: &[&[u8]]| [&[0xFF, 0xD8], parts.concat().as_slice()].concat();
        let (jfif, scan) = ([0xFF, 0xE0, 0, 4, b'J', b'F'], [0xFF, 0xDA, 0, 3, 9]);
        let exif = [&[0xFF, 0xE1, 0, 10], b"Exif\0\0ab".as_slice()].concat();
        let other = [&[0xFF, 0xE1, 0, 8], b"http:\0".as_slice()].concat();
        assert!(!may_have_exif(&file(&[&jfif, &other, &scan])));
        assert!(may_have_exif(&file(&[&jfif, &other, &exif, &scan])));
        assert!(!may_have_exif(&file(&[&jfif, &scan, &exif]))); // a picture after the picture
        assert!(may_have_exif(&file(&[&jfif, &[0, 0], &scan])) && may_have_exif(&file(&[&jfif])) && may_have_exif(&[]));
    }

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
