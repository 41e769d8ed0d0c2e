//! Letters for pictures: Latin and the common Hangul syllables as small pictures themselves, 16 pixels high.

use std::io::Read;

use flate2::read::GzDecoder;

use crate::{Error, Result};

/// The glyphs, as `xtask/goldens/font.py` drew and described them.
const GLYPHS: &[u8] = include_bytes!("../data/glyphs.bin.gz");

/// The character that stands for those that are missing.
const UNKNOWN: char = '□';

/// A bitmap font.
pub(crate) struct Letters {
    height: usize,
    glyphs: Vec<Glyph>, // in the order of the characters
    rows: Vec<u8>,
}

struct Glyph {
    character: u32,
    width: usize,
    rows: usize, // where they begin
}

impl Letters {
    /// Unpacks the embedded font.
    pub fn load() -> Result<Self> {
        Letters::unpack(GLYPHS).ok_or_else(|| Error::Content { path: "glyphs.bin.gz".into(), format: "font", why: "it is damaged".into() })
    }

    fn unpack(packed: &[u8]) -> Option<Self> {
        let mut content = Vec::new();
        GzDecoder::new(packed).read_to_end(&mut content).ok()?;
        let (&[height, low, high], rest) = content.split_first_chunk::<3>()?;
        let count = usize::from(u16::from_le_bytes([low, high]));
        let table = rest.get(..count * 3)?;
        let mut rows = 0;
        let glyph = |entry: &[u8]| {
            let glyph = Glyph { character: u32::from(u16::from_le_bytes([entry[0], entry[1]])), width: usize::from(entry[2]), rows };
            rows += usize::from(height) * glyph.width.div_ceil(4);
            glyph
        };
        let glyphs = table.chunks_exact(3).map(glyph).collect();
        let pixels = rest.get(count * 3..)?.to_vec();
        (pixels.len() == rows).then_some(Letters { height: usize::from(height), glyphs, rows: pixels })
    }

    /// How high a line is, in pixels.
    pub fn height(&self) -> usize {
        self.height
    }

    fn glyph(&self, character: char) -> Option<&Glyph> {
        let find = |c: char| self.glyphs.binary_search_by_key(&u32::from(c), |g| g.character).ok().and_then(|at| self.glyphs.get(at));
        find(character).or_else(|| find(UNKNOWN))
    }

    /// How wide a text is, in pixels.
    pub fn width(&self, text: &str) -> usize {
        text.chars().filter_map(|c| self.glyph(c)).map(|g| g.width).sum()
    }

    /// A text of at most that width: composed, and if it is too long cut off, with an ellipsis.
    pub fn fitted(&self, text: &str, width: usize) -> String {
        let text = composed(text);
        if self.width(&text) <= width {
            return text;
        }
        let mut short: Vec<char> = text.chars().collect();
        while short.pop().is_some() {
            let candidate: String = short.iter().chain(&['…']).collect();
            if self.width(&candidate) <= width {
                return candidate;
            }
        }
        String::new()
    }

    /// Calls `ink(x, y, share)` for each pixel of a text that has some, from the left upper corner of the text on; share is above 0, at most 1.
    pub fn draw(&self, text: &str, mut ink: impl FnMut(usize, usize, f32)) {
        let mut left = 0;
        for glyph in text.chars().filter_map(|c| self.glyph(c)) {
            let stride = glyph.width.div_ceil(4);
            for y in 0..self.height {
                for x in 0..glyph.width {
                    let four = self.rows.get(glyph.rows + y * stride + x / 4).copied().unwrap_or(0);
                    let shade = four >> (x % 4 * 2) & 3;
                    if shade > 0 {
                        ink(left + x, y, f32::from(shade) / 3.0);
                    }
                }
            }
            left += glyph.width;
        }
    }
}

/// Hangul letters put together to syllables: some systems give file names taken apart.
///
/// ```text
/// syllable = AC00 + (lead · 21 + vowel) · 28 + tail      lead = c − 1100, vowel = c − 1161, tail = c − 11A7 or 0
/// ```
fn composed(text: &str) -> String {
    let part = |c: char, first: u32, count: u32| u32::from(c).checked_sub(first).filter(|n| *n < count);
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        let before = out.chars().next_back();
        let lead = before.and_then(|b| part(b, 0x1100, 19));
        let open = before.and_then(|b| part(b, 0xAC00, 11_172)).filter(|syllable| syllable % 28 == 0);
        let joined = match (lead, open) {
            (Some(lead), _) => part(c, 0x1161, 21).map(|vowel| 0xAC00 + (lead * 21 + vowel) * 28),
            (_, Some(open)) => part(c, 0x11A8, 27).map(|tail| 0xAC00 + open + tail + 1),
            _ => None,
        };
        match joined.and_then(char::from_u32) {
            Some(syllable) => {
                out.pop();
                out.push(syllable);
            }
            None => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_and_syllables_are_there_and_others_are_a_box() {
        let letters = Letters::load().unwrap();
        let picture = |text: &str| {
            let mut seen = vec![vec![' '; letters.width(text)]; letters.height()];
            letters.draw(text, |x, y, _| seen[y][x] = '#');
            seen
        };
        assert!(picture(" ").concat().iter().all(|c| *c == ' '));
        for character in ['A', 'z', '0', 'é', '가', '냥', '힝', '□'] {
            assert!(picture(&character.to_string()).concat().contains(&'#'), "{character}");
        }
        assert_eq!(picture("\u{4e2d}"), picture("□"));
        assert_ne!(picture("냥"), picture("낭"));
        // the stem of an l is one stroke from top to bottom
        let l = picture("l");
        assert!(l.iter().filter(|row| row.contains(&'#')).count() >= 8, "{l:?}");
    }

    /// `unicodedata.normalize("NFD", "냥강아")` is 냥강아 taken apart.
    #[test]
    fn syllables_taken_apart_are_put_together() {
        assert_eq!(composed("\u{1102}\u{1163}\u{11bc}\u{1100}\u{1161}\u{11bc}\u{110b}\u{1161}"), "냥강아");
        assert_eq!(composed("ᄀx아ㄱ\u{1161}"), "ᄀx아ㄱ\u{1161}");
    }

    #[test]
    fn long_texts_are_cut_off() {
        let letters = Letters::load().unwrap();
        let width = letters.width("장미꽃 of the garden");
        assert_eq!(letters.fitted("장미꽃 of the garden", width), "장미꽃 of the garden");
        let short = letters.fitted("장미꽃 of the garden", width / 2);
        assert!(short.starts_with("장미꽃") && short.ends_with('…') && letters.width(&short) <= width / 2, "{short}");
        assert_eq!(letters.fitted("장미", 1), "");
    }

    #[test]
    fn a_damaged_font_is_no_font() {
        for end in [0, 10, GLYPHS.len() / 2, GLYPHS.len() - 9] {
            assert!(Letters::unpack(&GLYPHS[..end]).is_none(), "{end}");
        }
    }
}
