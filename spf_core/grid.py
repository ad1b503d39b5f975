"""Labelled grids of images: one row per model, one column per prompt and seed. Torch-free."""

from collections.abc import Mapping, Sequence

from PIL import Image, ImageDraw, ImageFont

_INK, _PAPER, _FAINT = "#111111", "#ffffff", "#555555"
_GAP = 6

Font = ImageFont.FreeTypeFont | ImageFont.ImageFont


def comparison_grid(
    rows: Mapping[str, Sequence[Image.Image]], captions: Sequence[str], scale: int = 3
) -> Image.Image:
    """Draw one row of images per label under wrapped captions, each image enlarged `scale`-fold.

    All images have one size; a row has as many images as there are captions.
    """
    first = next(iter(rows.values()))[0]
    width, height = first.width * scale, first.height * scale
    font = ImageFont.load_default(size=max(12, min(28, width // 12)))
    headings = [_wrap(caption, font, width) for caption in captions]
    left = max(_size(label, font)[0] for label in rows) + 2 * _GAP
    top = max((_size(heading, font)[1] for heading in headings), default=0) + 2 * _GAP
    page = (left + len(captions) * (width + _GAP), top + len(rows) * (height + _GAP))
    canvas = Image.new("RGB", page, _PAPER)
    draw = ImageDraw.Draw(canvas)
    for column, heading in enumerate(headings):
        draw.multiline_text((left + column * (width + _GAP), _GAP), heading, fill=_FAINT, font=font)
    for row, (label, images) in enumerate(rows.items()):
        y = top + row * (height + _GAP)
        draw.text((_GAP, y + height // 2), label, fill=_INK, font=font, anchor="lm")
        for column, (image, _caption) in enumerate(zip(images, captions, strict=True)):
            canvas.paste(_enlarged(image, width, height), (left + column * (width + _GAP), y))
    return canvas


def _enlarged(image: Image.Image, width: int, height: int) -> Image.Image:
    return image.convert("RGB").resize((width, height), Image.Resampling.LANCZOS)


def _wrap(text: str, font: Font, width: int) -> str:
    """Break `text` between words into lines no wider than `width` pixels, where the words allow it."""
    lines: list[str] = []
    for word in text.split():
        longer = f"{lines[-1]} {word}" if lines else word
        if lines and font.getlength(longer) <= width:
            lines[-1] = longer
        else:
            lines.append(word)
    return "\n".join(lines)


def _size(text: str, font: Font) -> tuple[int, int]:
    """Width and height in pixels of a text of one or more lines."""
    box = ImageDraw.Draw(Image.new("RGB", (1, 1))).multiline_textbbox((0, 0), text, font=font)
    return round(box[2]), round(box[3])
