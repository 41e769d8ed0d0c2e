"""Draws the glyphs that pictures are labelled with: Latin letters and the 2,350 common Hangul syllables, 16 pixels high, 4 shades of grey.

    python xtask/goldens/font.py NanumGothic.ttf     (Debian: fonts-nanum; needs Pillow)

writes crates/nyang-data/data/glyphs.bin.gz. Unpacked: the height in one byte, the number of glyphs in two; for each glyph, in the order of
the code points, its code point in two bytes and its width in one; then for each glyph its rows, four pixels a byte, the left one in the
low bits, each row in whole bytes. Numbers are little-endian.
"""
import gzip
import pathlib
import struct
import sys

from PIL import Image, ImageDraw, ImageFont

HEIGHT, SIZE, BASELINE = 16, 14, 13


def characters():
    hangul = [bytes([high, low]).decode("euc_kr") for high in range(0xB0, 0xC9) for low in range(0xA1, 0xFF)]
    latin = [chr(c) for c in (*range(0x20, 0x7F), *range(0xA1, 0x100), *range(0x100, 0x180))]
    jamo = [chr(c) for c in range(0x3131, 0x3164)]
    return sorted({*latin, *hangul, *jamo, *"‘’“”…·–—•×÷→←↑↓□"})


def main():
    font = ImageFont.truetype(sys.argv[1], SIZE)
    table, rows = b"", b""
    count = 0
    for character in characters():
        if character != " " and font.getmask(character).getbbox() is None:
            continue  # this font does not have it
        width = max(1, round(font.getlength(character)))
        glyph = Image.new("L", (width, HEIGHT), 0)
        ImageDraw.Draw(glyph).text((0, BASELINE), character, font=font, fill=255, anchor="ls")
        shades = [[(glyph.getpixel((x, y)) * 3 + 127) // 255 if x < width else 0 for x in range(-(-width // 4) * 4)] for y in range(HEIGHT)]
        rows += b"".join(bytes(sum(v << 2 * i for i, v in enumerate(row[x:x + 4])) for x in range(0, len(row), 4)) for row in shades)
        table += struct.pack("<HB", ord(character), width)
        count += 1
    content = struct.pack("<BH", HEIGHT, count) + table + rows
    path = pathlib.Path(__file__).parents[2] / "crates/nyang-data/data/glyphs.bin.gz"
    path.write_bytes(gzip.compress(content, 9, mtime=0))
    print(count, "glyphs,", len(content), "bytes,", path.stat().st_size, "packed")


main()
