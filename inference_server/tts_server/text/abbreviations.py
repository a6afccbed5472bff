"""Abbreviations that `sentencex` does not have, by language: a full stop after them ends no sentence.

Only those that hardly ever end one. They are compared in lower case and without their last full stop.
"""

from collections.abc import Mapping


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


BEFORE_A_WORD: Mapping[str, frozenset[str]] = {
    "de": _words("abb bzw ca dr evtl fr ggf hl hr inkl med prof sog st vgl zzgl"),
    "en": _words("approx capt cf col dr gen hon lt messrs mr mrs ms mt prof rev sgt st vs"),
    "es": _words("av avda c d dr dra dña ee gral lic prof profa sr sra srta sta sto ud"),
    "fr": _words("av bd boul cf dr ex m me mgr mlle mm mme mmes mr pr prof st ste"),
    "hi": _words("कु डॉ पं प्रो श्री"),
    "it": _words("arch avv dott dott.ssa dr geom ing mons on prof prof.ssa rag sig sig.ra sigg st"),
    "nl": _words("bijv dhr dr drs ing ir jhr mej mevr mr mw prof st"),
    "pl": _words("al dr gen hab im inż ks lek mgr np os pl por prof pt płk tzn tzw ul św"),
    "pt": _words("av dr dra exa exmo ilmo pe prof profa sr sra srta sta sto v"),
    "ru": _words("акад г-жа гр доц им наб напр пер пл пр проф ред св см ср т.е ул"),
}
"""Titles, streets and connectives."""

BEFORE_A_NUMBER: Mapping[str, frozenset[str]] = {
    "de": _words("abb abs anm art aufl bd kap kl nr s str tab tel z"),
    "en": _words("apr art aug ch dec feb fig figs jan jul jun mar no nos nov oct p pp sec sep sept vol"),
    "es": _words("art cap fig n núm pág págs tel vol"),
    "fr": _words("art avr chap déc fig févr janv juil nov oct p pp sept tél vol"),
    "it": _words("ago apr art artt cap dic feb fig gen giu lug mag mar n nov ott pag pagg set tel vol"),
    "nl": _words("afb art blz fig hfdst nr p tel"),
    "pl": _words("art godz nr ok pkt poz rozdz rys s str tab tel ust"),
    "pt": _words("art cap fig n nº núm pág págs tel vol"),
    "ru": _words("гл д кв корп оф п рис с ст стр табл тел"),
}
"""Names of numbered things: these end a sentence unless a digit follows."""
