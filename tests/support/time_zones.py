"""Zones with the days on which their clocks did something odd: local dates, checked against the tz database."""

from __future__ import annotations

ODD_DAYS: dict[str, tuple[str, ...]] = {
    "Africa/Cairo": ("2014-05-16", "2024-04-26", "2026-10-29", "2027-04-30"),  # skips 00:00; repeats 23:00
    "Africa/Casablanca": (
        "2025-02-23",
        "2025-04-06",
        "2026-03-22",
        "2026-09-20",
    ),  # back for Ramadan, then forward; back for good
    "Africa/El_Aaiun": ("2026-02-15", "2026-03-22"),
    "Africa/Juba": ("2000-01-15", "2021-01-31"),  # 12:00 to 13:00 at noon
    "Africa/Khartoum": ("2000-01-15", "2017-10-31"),
    "Africa/Sao_Tome": ("2018-01-01", "2019-01-01"),
    "Africa/Windhoek": ("2016-09-04", "2017-04-02"),
    "America/Anchorage": ("2026-03-08", "2026-11-01"),
    "America/Asuncion": ("2023-10-01", "2024-03-23", "2024-10-06"),  # skips midnight; repeats 23:00
    "America/Caracas": ("2007-12-09", "2016-05-01"),  # half an hour at 03:00, at 02:30
    "America/Havana": ("2025-11-02", "2026-03-08"),  # repeats 00:00; skips it
    "America/Metlakatla": ("2015-11-01", "2019-01-20"),
    "America/New_York": ("2026-03-08", "2026-11-01"),
    "America/Nuuk": ("2023-03-25", "2026-03-28", "2026-10-24"),  # skips 23:00; repeats it
    "America/Port-au-Prince": ("2012-03-11", "2026-11-01"),
    "America/Santiago": ("2026-04-04", "2026-09-06"),
    "America/Sao_Paulo": ("2018-02-17", "2018-11-04", "2019-02-16"),  # skipped midnight; repeated 23:00
    "America/Scoresbysund": ("2023-03-26", "2026-03-28", "2026-10-24"),
    "America/St_Johns": ("2010-03-14", "2010-11-06", "2026-03-08"),  # once at one minute past midnight
    "Antarctica/Casey": ("2020-10-04", "2022-03-12", "2022-10-02"),  # three hours at 00:01
    "Antarctica/Troll": ("2026-03-29", "2026-10-25"),  # two hours
    "Antarctica/Vostok": ("1994-01-31", "1994-11-01", "2023-12-18"),  # seven hours
    "Asia/Almaty": ("2024-02-29",),
    "Asia/Amman": ("2021-03-26", "2022-02-25"),
    "Asia/Beirut": ("2026-10-24", "2027-03-28"),  # repeats 23:00; skips midnight
    "Asia/Damascus": ("2021-10-28", "2022-03-25"),
    "Asia/Dhaka": ("2009-06-19", "2009-12-31"),  # 23:00 to midnight
    "Asia/Gaza": ("2011-04-01", "2026-10-24", "2027-03-27"),
    "Asia/Jerusalem": ("2026-10-25", "2027-03-26"),
    "Asia/Kathmandu": ("1986-01-01",),  # a quarter of an hour
    "Asia/Kolkata": (),
    "Asia/Pyongyang": ("2015-08-14", "2018-05-04"),  # half an hour, at 23:30 over midnight
    "Asia/Shanghai": ("1991-04-14", "1991-09-15"),
    "Asia/Singapore": ("1981-12-31",),  # 23:30 to midnight
    "Asia/Tehran": ("2021-09-21", "2022-03-22"),
    "Asia/Tokyo": (),
    "Asia/Ulaanbaatar": ("2015-09-25", "2016-03-26"),
    "Asia/Yangon": (),
    "Atlantic/Azores": ("2026-10-25", "2027-03-28"),
    "Australia/Adelaide": ("2026-10-04", "2027-04-04"),
    "Australia/Eucla": ("2008-10-26", "2009-03-29"),  # UTC+8:45
    "Australia/Lord_Howe": ("2026-04-05", "2026-10-04"),  # half an hour
    "Europe/Dublin": ("2026-03-29", "2026-10-25"),  # its winter is the daylight saving
    "Europe/Istanbul": ("2015-11-08", "2016-03-27"),
    "Europe/London": ("2026-03-29", "2026-10-25"),
    "Europe/Moscow": ("2011-03-27", "2014-10-26"),
    "Europe/Paris": ("2026-03-29", "2026-10-25"),
    "Europe/Volgograd": ("2018-10-28", "2020-12-27"),
    "Pacific/Apia": ("2011-12-29", "2011-12-31", "2021-04-04"),  # had no 2011-12-30
    "Pacific/Chatham": ("2026-09-27", "2027-04-04"),  # 02:45
    "Pacific/Easter": ("2026-04-04", "2026-09-05"),
    "Pacific/Fakaofo": ("2011-12-29",),  # had no 2011-12-30
    "Pacific/Fiji": ("2020-12-20", "2021-01-17"),
    "Pacific/Kiritimati": ("1979-09-30", "1994-12-30"),  # had no 1994-12-31
    "Pacific/Kwajalein": ("1969-09-30", "1993-08-20"),  # had most of 1969-09-30 twice, and no 1993-08-21
    "Pacific/Marquesas": (),
    "Pacific/Norfolk": ("2015-10-04", "2026-10-04"),
    "Pacific/Tongatapu": ("2016-11-06", "2017-01-15"),
    "UTC": (),
}
