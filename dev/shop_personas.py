"""Who shops in the generated shop: personas, places and names. Plain tables; drawing from them is `dev.shop`'s work."""

from dataclasses import dataclass

CATEGORIES = ("shoes", "sports", "outdoor", "home", "kitchen", "books", "toys", "gifts")
CHANNELS = ("web", "app", "store", "marketplace")
INTERESTS = ("running", "hiking", "cooking", "reading", "gaming", "travel", "design", "gardening")
SCORES = ("priceSensitivity", "noveltySeeking", "brandLoyalty", "sustainability")
PRODUCTS_PER_CATEGORY = 15


@dataclass(frozen=True)
class Persona:
    """A kind of customer. Days are counted backwards from the shop's last day; rates are means per customer."""

    name: str
    share: float
    orders: float
    begins: tuple[float, float]
    """Earliest and latest day, before the end, on which the customer turns up."""
    stops: tuple[float, float]
    """The same for the last day on which the customer does anything."""
    lines: float
    price: float
    """Multiplier on the list price: what the customer reaches for, or waits for."""
    coupons: float
    views: float
    opens: float
    """Chance that a mail is opened; one in four that are opened is clicked."""
    age: float
    categories: tuple[float, ...]
    channels: tuple[float, ...]
    scores: tuple[float, ...]
    """Mean answers, 1 to 5, to the survey questions `SCORES`."""
    seasonal: bool = False


PERSONAS = (
    Persona("champion", 0.08, 42, (1000, 400), (18, 0), 2.1, 1.25, 0.05, 6, 0.60, 41,
            (4, 4, 4, 2, 2, 1, 1, 1), (4, 6, 2, 0.5), (2.0, 3.8, 4.5, 3.7)),
    Persona("regular", 0.22, 16, (1000, 250), (120, 2), 1.8, 1.0, 0.15, 2.5, 0.35, 44,
            (2, 2, 2, 3, 3, 2, 2, 1), (5, 2, 3, 1), (3.0, 3.0, 3.4, 3.2)),
    Persona("lapsed big spender", 0.10, 14, (1090, 700), (460, 200), 2.6, 1.7, 0.05, 0.8, 0.10, 52,
            (1, 1, 3, 5, 5, 1, 1, 2), (5, 1, 5, 0.5), (1.8, 2.6, 2.9, 3.0)),
    Persona("bargain hunter", 0.20, 13, (900, 150), (90, 3), 1.5, 0.6, 0.85, 3, 0.45, 36,
            (3, 3, 1, 2, 1, 2, 3, 1), (4, 3, 0.5, 5), (4.6, 3.1, 1.8, 2.6)),
    Persona("newcomer", 0.12, 2, (55, 4), (3, 0), 1.6, 1.0, 0.30, 4, 0.50, 31,
            (3, 4, 3, 1, 1, 2, 1, 1), (3, 6, 0.5, 1.5), (3.1, 4.2, 2.6, 3.6)),
    Persona("gift buyer", 0.13, 6, (1080, 400), (60, 5), 2.0, 1.1, 0.20, 1.5, 0.25, 57,
            (0.5, 0.5, 0.5, 2, 2, 3, 5, 8), (5, 1, 4, 1), (2.9, 2.4, 3.1, 3.1), seasonal=True),
    Persona("window shopper", 0.15, 0, (600, 30), (20, 0), 1.0, 1.0, 0.0, 11, 0.20, 29,
            (4, 3, 3, 2, 1, 1, 1, 1), (1, 1, 1, 1), (4.1, 3.9, 2.2, 3.3)),
)  # fmt: skip


@dataclass(frozen=True)
class City:
    name: str
    country: str
    latitude: float
    longitude: float
    weight: float


CITIES = (
    City("Berlin", "DE", 52.520, 13.405, 12),
    City("Hamburg", "DE", 53.551, 9.994, 8),
    City("Munich", "DE", 48.137, 11.576, 8),
    City("Cologne", "DE", 50.938, 6.960, 6),
    City("Leipzig", "DE", 51.340, 12.375, 4),
    City("Potsdam", "DE", 52.391, 13.065, 2),
    City("Vienna", "AT", 48.208, 16.373, 6),
    City("Graz", "AT", 47.071, 15.438, 2),
    City("Zurich", "CH", 47.377, 8.541, 4),
    City("Amsterdam", "NL", 52.368, 4.904, 5),
    City("Rotterdam", "NL", 51.924, 4.478, 3),
    City("Paris", "FR", 48.857, 2.352, 7),
    City("Lyon", "FR", 45.764, 4.836, 3),
    City("London", "GB", 51.507, -0.128, 8),
    City("Manchester", "GB", 53.480, -2.242, 3),
    City("Madrid", "ES", 40.417, -3.704, 4),
    City("Barcelona", "ES", 41.387, 2.170, 4),
    City("Milan", "IT", 45.464, 9.190, 4),
    City("Rome", "IT", 41.903, 12.496, 3),
    City("Copenhagen", "DK", 55.676, 12.568, 2),
)

FIRST_NAMES = (
    "Ada", "Anton", "Bea", "Carlo", "Clara", "David", "Elif", "Emil", "Fatma", "Finn", "Greta", "Hugo", "Ines", "Jan",
    "Jana", "Karim", "Lea", "Liam", "Maja", "Marek", "Nina", "Noah", "Olga", "Oskar", "Paula", "Quentin", "Rosa",
    "Sami", "Selma", "Tom", "Uma", "Victor", "Wanda", "Xenia", "Yusuf", "Zoë",
)  # fmt: skip
LAST_NAMES = (
    "Albrecht", "Bakker", "Bianchi", "Conti", "de Vries", "Dubois", "Fischer", "García", "Gruber", "Hansen", "Huber",
    "Jones", "Kaya", "Keller", "Lambert", "López", "Meier", "Moreau", "Müller", "Nielsen", "Novak", "O'Brien", "Okafor",
    "Petit", "Rossi", "Schulz", "Smith", "Sørensen", "Taylor", "Weber", "Wolf", "Yildiz",
)  # fmt: skip

NOTES = (
    "Ring twice,\nthe bell is quiet.",
    'Leave it with the neighbour "Meier"; second floor.',
    "Back door, please.\r\nMind the dog.",
)
