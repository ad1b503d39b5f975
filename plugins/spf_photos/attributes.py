"""Attributes of a portrait photograph, and the words by which a CLIP tells their values apart. Torch-free.

Perceived gender and skin tone are among them because pollution of these must not go unnoticed. They are what
a network reads from a picture, and say nothing about any person.
"""

from collections.abc import Mapping

# attribute -> value -> what a picture of it is called
PHRASES: Mapping[str, Mapping[str, str]] = {
    "gender": {"woman": "a photo of a woman", "man": "a photo of a man"},
    "age": {
        "young": "a photo of a young adult",
        "middle-aged": "a photo of a middle-aged person",
        "elderly": "a photo of an elderly person",
    },
    "skin_tone": {
        "light": "a photo of a person with light skin",
        "medium": "a photo of a person with tanned, medium brown skin",
        "dark": "a photo of a person with dark skin",
    },
    "hair_color": {
        "black": "a photo of a person with black hair",
        "brown": "a photo of a person with brown hair",
        "blonde": "a photo of a person with blonde hair",
        "red": "a photo of a person with red hair",
        "grey": "a photo of a person with grey hair",
    },
    "hair_length": {
        "short": "a photo of a person with short hair",
        "long": "a photo of a person with long hair",
    },
    "hair_style": {
        "straight": "a photo of a person with straight hair",
        "wavy": "a photo of a person with wavy hair",
        "curly": "a photo of a person with curly hair",
    },
    "expression": {
        "neutral": "a photo of a person with a neutral expression",
        "smiling": "a photo of a smiling person",
        "laughing": "a photo of a person laughing out loud",
        "serious": "a photo of a person with a stern, serious face",
    },
    "facial_hair": {
        "none": "a photo of a person without facial hair",
        "beard": "a photo of a person with a beard",
        "moustache": "a photo of a person with a moustache",
    },
    "eyewear": {
        "none": "a photo of a person without glasses",
        "glasses": "a photo of a person wearing glasses",
        "sunglasses": "a photo of a person wearing sunglasses",
    },
    "headwear": {
        "none": "a photo of a person with a bare head",
        "hat": "a photo of a person wearing a hat",
        "headscarf": "a photo of a person wearing a headscarf",
    },
    "clothes": {
        "suit": "a photo of a person wearing a suit",
        "shirt": "a photo of a person wearing a buttoned shirt",
        "T-shirt": "a photo of a person wearing a T-shirt",
        "sweater": "a photo of a person wearing a knitted sweater",
        "coat": "a photo of a person wearing a coat",
    },
    "background": {
        "plain": "a photo of a person in front of a plain wall",
        "street": "a photo of a person on a city street",
        "nature": "a photo of a person in a park or forest",
        "beach": "a photo of a person at the beach",
        "indoors": "a photo of a person in a room at home",
        "workplace": "a photo of a person in an office or workshop",
    },
    "light": {
        "daylight": "a photo of a person in soft daylight",
        "sunset": "a photo of a person in warm evening light",
        "studio": "a photo of a person in studio light",
        "night": "a photo of a person at night under artificial light",
    },
    "framing": {
        "close-up": "a close-up photo of a face",
        "head and shoulders": "a photo of a person's head and shoulders",
        "half-length": "a half-length photo of a person from the waist up",
        "full-length": "a full-length photo of a person from head to toe",
    },
    "gaze": {
        "camera": "a photo of a person looking into the camera",
        "away": "a photo of a person looking away",
    },
    "medium": {
        "photo": "a colour photo of a person",
        "black and white": "a black and white photo of a person",
        "painting": "a painting of a person",
        "drawing": "a pencil drawing of a person",
    },
}
ATTRIBUTES: Mapping[str, tuple[str, ...]] = {name: tuple(values) for name, values in PHRASES.items()}
# What prompts of the suite can name; nobody writes that a person wears no hat.
NAMED = (
    "gender",
    "age",
    "skin_tone",
    "hair_color",
    "hair_length",
    "hair_style",
    "expression",
    "clothes",
    "background",
    "light",
    "framing",
    "gaze",
    "medium",
)
