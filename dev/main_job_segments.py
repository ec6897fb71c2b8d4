"""The six segments of the main job, each in a different part of the rule language. Plain data."""

from typing import Any

SEGMENTS: tuple[dict[str, Any], ...] = (
    {
        "segmentId": "champions",
        "segmentName": "Champions",
        "description": "Order often, spend much, and were here this month",
        "criteria": [
            {"attribute": "orderCount", "operator": ">=", "value": "20"},
            {"attribute": "totalSpent", "operator": ">=", "value": "2000"},
            {"attribute": "recencyDays", "operator": "<=", "value": "30"},
        ],
    },
    {
        "segmentId": "lapsed-big-spenders",
        "segmentName": "Lapsed big spenders",
        "description": "Spent a lot, and nothing for half a year",
        "criteria": {
            "all": [
                {"attribute": "grossSpent", "operator": "gte", "value": 1000},
                {"not": {"event": "order", "within": "180d", "operator": "gte", "value": 1}},
            ]
        },
    },
    {
        "segmentId": "newcomers",
        "segmentName": "Newcomers",
        "description": "Signed up in the last 60 days",
        "criteria": [{"attribute": "signedUpAt", "operator": "in_last", "value": "60d"}],
    },
    {
        "segmentId": "window-shoppers",
        "segmentName": "Window shoppers",
        "description": "Looked at many pages in 90 days and have never bought",
        "criteria": {
            "all": [
                {"event": "page_view", "within": "90d", "operator": "gte", "value": 5},
                {"event": "order", "operator": "eq", "value": 0},
            ]
        },
    },
    {
        "segmentId": "birthdays",
        "segmentName": "Birthdays ahead",
        "description": "Have a birthday in the next 30 days, may be written to, and have not lapsed",
        "criteria": {
            "all": [
                {"attribute": "birthday", "operator": "anniversary_in_next", "value": "30d"},
                {"attribute": "emailConsent", "operator": "is_true"},
                {"segment": "lapsed-big-spenders", "operator": "not_member"},
            ]
        },
    },
    {
        "segmentId": "bargains-berlin",
        "segmentName": "Bargain hunters near Berlin",
        "description": "Use coupons around Berlin, and like the outdoors or say that price matters",
        "criteria": {
            "all": [
                {
                    "event": "order",
                    "where": [{"attribute": "coupon", "operator": "eq", "value": "SAVE15"}],
                    "within": "1y",
                    "operator": "gte",
                    "value": 3,
                },
                {
                    "attribute": "location",
                    "operator": "within_km",
                    "value": {"latitude": 52.52, "longitude": 13.405, "km": 60},
                },
                {
                    "any": [
                        {"attribute": "interests", "operator": "has_any", "value": ["hiking", "running"]},
                        {"attribute": "priceSensitivity", "operator": "gte", "value": 4},
                    ]
                },
            ]
        },
    },
)
"""In an order in which a segment comes after those that its rule refers to."""
