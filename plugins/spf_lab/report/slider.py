"""Before and after, one image over the other."""

from collections.abc import Sequence

from PIL import Image

from spf_lab.report.arms import Json
from spf_lab.report.html import Html, image, tag
from spf_lab.report.pairs import short
from spf_lab.report.sources import LARGEST, picture


def slider(
    titles: Sequence[tuple[str, str]],
    row: Json,
    before: Image.Image,
    after: Image.Image,
    largest: int = LARGEST,
) -> Html:
    """Before and after, one over the other. The script adds a choice of pairs and of `titles`."""
    options = [tag("option", title, value=key) for key, title in titles]
    stage = tag(
        "div",
        image(picture(before, largest), f"Before: base model, {short(row)}", class_="before"),
        image(picture(after, largest), f"After: {titles[0][1]}, {short(row)}", class_="after"),
        tag("span", "", class_="handle", aria_hidden="true"),
        tag("span", "before", class_="corner left", aria_hidden="true"),
        tag("span", "after", class_="corner right", aria_hidden="true"),
        tag(
            "input",
            type="range",
            min="0",
            max="100",
            value="50",
            aria_label="Share of the image that shows the base model",
        ),
        class_="stage",
    )
    chooser = tag("label", "After: ", tag("select", *options), class_="choice")
    caption = tag("figcaption", row["base_text"], aria_live="polite")
    return tag(
        "div",
        tag("figure", stage, caption),
        tag(
            "div",
            chooser,
            tag("div", class_="thumbs", role="group", aria_label="Choose a pair"),
            class_="side",
        ),
        class_="slider",
    )
