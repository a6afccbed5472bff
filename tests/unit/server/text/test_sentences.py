"""Sentence ends: a table of real sentences in thirteen languages, written down as a reader would split them."""

from collections.abc import Iterator

import pytest
import sentencex

from tts_server.text.normalization import normalized
from tts_server.text.sentences import _PIECE_CHARACTERS, sentences

# A bar where one sentence ends and the next begins.
SENTENCES: dict[str, str] = {
    "en": """
        Hello world. | How are you? | Fine!
        Dr. Smith met J. R. Tolkien. | He left.
        Mr. and Mrs. Brown live at 5 St. James St. in London. | Nobody knows them.
        Pi is 3.14, not 3.2.1. | See example.com/a.b now. | Bye.
        The U.S. Army came. | It left.
        So did I. | Then we left.
        See no. 5 first. | He said no. | Then he left.
        Wait... what?! | Yes…
        "Stop." | He stopped.
        We sell fruit, e.g. apples, and i.e. nothing else. | Come in.
        The meeting is at 5 p.m. on Jan. 3. | Do not be late.
        Apple Inc. and Acme Corp. merged. | Shares fell by 1.5 percent.
        He moved to Washington, D.C. in 1990. | She did not.
        It cost $3.50. | That was too much.
        Is it true? | No! | It is not.
        I have 3. | You have 4.
        The vote was 5 vs. 4. | It passed.
        Ask Prof. Lee, Ph.D. about it. | She knows.
    """,
    "de": """
        Ich habe am 3. Juni Geburtstag. | Du nicht.
        Am 1. und 2. Mai ist frei. | Danach nicht.
        Dr. med. Muster kommt. | Er geht.
        Das war 44 v. Chr. in Rom. | Dann kam Augustus.
        Es waren z. B. drei, d. h. viele. | Gut.
        Heinrich VIII. war König. | Er starb 1547.
        Die Miete beträgt ca. 1.200,50 Euro. | Das ist viel.
        Frau Prof. Dr. Schmidt wohnt in der Hauptstr. 5 in Köln. | Sie lehrt dort.
        Das ist die 2. Auflage des Buches. | Die erste ist vergriffen.
        Er kommt usw. nicht mehr. | Schade.
        Siehe S. 12 und Abb. 3. | Dort steht es.
        Wir treffen uns um 10.30 Uhr. | Sei pünktlich!
        Im 19. Jahrhundert war das anders. | Heute nicht.
        Der Zug fährt am Mo. und Di. nicht. | Nimm den Bus.
        Nr. 5 lebt. | Wer hätte das gedacht?
        Bzw. sagte er nichts. | Sie schwieg auch.
        Herr Müller u. a. waren da. | Es war voll.
        „Komm!“ | Sie ging.
    """,
    "fr": """
        Bonjour. | Comment ça va ? | Bien !
        M. Dupont arrive. | Mme Durand part.
        MM. Martin et Petit sont là. | Ils attendent.
        Voir p. 5 et fig. 3. | Tout y est.
        Le Dr. Leroy habite au 12 av. Foch. | Il est absent.
        Il est né le 1er janv. 1990 à Lyon. | Elle aussi.
        Cela coûte 3,50 euros, etc. dans ce magasin. | C'est cher.
        Les fruits, p. ex. les pommes, sont bons. | Mangez-en.
        J.-P. Sartre a écrit ce livre. | Lisez-le.
        Le prix est de 1.234,56 euros. | C'est trop.
        « Partez ! » | Il partit.
        La Ste. Vierge est ici. | Priez.
        L'art. 5 est clair. | Lisez l'art. 6.
        Qui est-ce ? | Personne.
    """,
    "es": """
        Hola. | ¿Cómo estás? | ¡Bien!
        El Sr. García llegó. | La Sra. López no.
        El Dr. Ruiz vive en la Av. Central. | Trabaja allí.
        Llegó a las 3 p. m. a casa. | Bien.
        Vea la pág. 5 y el núm. 3. | Ahí está.
        Uds. son muchos. | Nosotros no.
        EE. UU. ganó el partido. | México perdió.
        Mide 1.75 metros. | Es alto.
        Cuesta 1.234,50 euros. | Es caro.
        La Dra. Gómez y el Prof. Díaz hablan. | Escuche.
        Hay frutas, p. ej. manzanas. | Compre una.
        ¿Qué? | No sé.
        J. L. Borges escribió esto. | Léalo.
        Nació en el s. XIX a. C. en Roma. | Murió allí.
    """,
    "it": """
        Ciao. | Come stai? | Bene!
        Il dott. Rossi è qui. | Va bene.
        La sig.ra Bianchi arriva. | Il sig. Verdi no.
        L'avv. Neri parla. | Ascolta.
        Vedi pag. 5 e fig. 3. | È tutto lì.
        Costa 1.234,50 euro. | È caro.
        Il prof. Conti insegna. | Gli studenti imparano.
        Frutta, verdura, ecc. sono sane. | Mangiale.
        È nato il 3 gen. 1990. | È giovane.
        U. Eco scrisse questo libro. | Leggilo.
        L'art. 5 è chiaro. | Il resto no.
        Davvero? | Certo.
        S. Pietro è grande. | Visitala.
    """,
    "pt": """
        Olá. | Tudo bem? | Sim!
        O Sr. Silva chegou. | A Sra. Costa saiu.
        O Dr. Lima mora na Av. Paulista. | Ele trabalha lá.
        Veja a pág. 5 e o art. 3. | Está lá.
        Custa 1.234,50 reais. | É caro.
        A Dra. Sousa e o Prof. Dias falam. | Escute.
        Há frutas, p. ex. maçãs. | Compre uma.
        O n. 5 está vivo. | Quem diria?
        Nasceu em 44 a.C. em Roma. | Morreu lá.
        J. Saramago escreveu isto. | Leia.
        Bananas, maçãs etc. são boas. | Coma.
        A V. Exa. sabe. | Eu não.
        Mede 1.75 metros. | É alto.
    """,
    "nl": """
        Hallo. | Hoe gaat het? | Goed!
        Dhr. Jansen woont o.a. in Delft. | Hij werkt.
        Mevr. De Vries is er. | Zij wacht.
        Dr. Bakker en prof. Visser praten. | Luister.
        Het is bijv. rood. | Niet blauw.
        Zie blz. 5 en fig. 3. | Daar staat het.
        Dit kost ca. 1.234,50 euro. | Dat is veel.
        Hij komt m.a.w. niet. | Jammer.
        Fruit, groente enz. is gezond. | Eet het.
        J. P. Balkenende sprak. | Niemand luisterde.
        Nr. 5 leeft. | Wie had dat gedacht?
        Wij gaan d.w.z. morgen. | Ga mee.
        Echt? | Ja!
    """,
    "pl": """
        Cześć. | Jak się masz? | Dobrze!
        Spotkanie z dr. Nowakiem jest o godz. 5. | Potem idziemy, np. do kina.
        Mieszkam przy ul. Długiej 5. | Ona nie.
        Prof. Kowalski uczy. | Studenci słuchają.
        To było w 1990 r. w Krakowie. | Dawno temu.
        Zobacz str. 5 i rys. 3. | Tam jest.
        Kosztuje ok. 1,5 mln zł. | To dużo.
        Jabłka, gruszki itd. są zdrowe. | Jedz je.
        A. Mickiewicz napisał to. | Przeczytaj.
        Tzw. ekspert mówi. | Nikt nie słucha.
        Mgr inż. Nowak pracuje. | Jest zajęty.
        Serio? | Tak!
        Św. Jan był tam. | My nie.
    """,
    "ru": """
        Привет. | Как дела? | Хорошо!
        Он родился в 1990 г. в Москве. | Она тоже.
        Живу на ул. Ленина, д. 5. | Приходи.
        А. С. Пушкин написал это. | Прочитай.
        Смотри стр. 5 и рис. 3. | Там есть всё.
        Стоит 1,5 млн. рублей. | Это много.
        Яблоки, груши и т. д. полезны. | Ешь их.
        Это т. е. неправда. | Да.
        Проф. Иванов учит. | Студенты слушают.
        Правда? | Нет!
        В XIX в. было иначе. | Сейчас нет.
        Это было в 44 г. до н. э. в Риме. | Давно.
    """,
    "zh": """
        你好。|今天天气很好！|是吗？
        他说：“走吧。”|我们走了。
        价格是3.14元。|太贵了！
        请看第5页。|谢谢。
        我用Redis 7.2版。|很快。
        真的？|当然！
        2024年1月3日开会。|不要迟到。
        好……|再见。
    """,
    "ja": """
        こんにちは。|お元気ですか？|はい！
        「行く。」|彼は言った。
        価格は3.14円です。|高い！
        5ページを見てください。|ありがとう。
        本当？|もちろん！
        東京です。|大阪ではありません。
        1月3日に会いましょう。|遅れないで。
    """,
    "hi": """
        नमस्ते। | आप कैसे हैं? | ठीक!
        डॉ. शर्मा आए। | वे चले गए।
        कीमत 3.14 रुपये है। | यह महंगा है।
        सच? | हाँ।
    """,
    "ar": """
        مرحبا. | كيف حالك؟ | بخير!
        السعر 3.14 دولار. | هذا غال.
        هل هذا صحيح؟ | نعم.
    """,
}


def cases() -> Iterator[tuple[str, list[str]]]:
    for language, rows in SENTENCES.items():
        for row in rows.strip().splitlines():
            yield language, [normalized(sentence) for sentence in row.strip().split("|")]


def spoken(text: str, language: str | None = "en") -> list[str]:
    return [sentence.strip() for sentence in sentences(text, language)]


def test_the_table_has_hundreds_of_sentences() -> None:
    assert len(SENTENCES) >= 10
    assert sum(len(expected) for _, expected in cases()) >= 200


@pytest.mark.parametrize(("language", "expected"), [*cases()], ids=str)
def test_sentences_end_where_a_reader_would_end_them(language: str, expected: list[str]) -> None:
    assert spoken("".join(expected), language) == [sentence.strip() for sentence in expected]


ITEMS: dict[str, tuple[str, list[str]]] = {
    "numbers": ("1. Open the door. 2. Close it.", ["1. Open the door.", "2. Close it."]),
    "letters": ("a) Milk. b) Eggs.", ["a) Milk.", "b) Eggs."]),
    "Roman numerals": ("ii. The second. iii. The third.", ["ii. The second.", "iii. The third."]),
    "lines": ("Shopping list:\nmilk\neggs\nbread", ["Shopping list:", "milk", "eggs", "bread"]),
    "bullets": ("- milk\n- eggs\n\n* bread", ["- milk", "- eggs", "* bread"]),
    "numbered lines": ("1. Milk\n2. Eggs\n10. Bread", ["1. Milk", "2. Eggs", "10. Bread"]),
}


@pytest.mark.parametrize(("text", "expected"), ITEMS.values(), ids=ITEMS)
def test_items_of_a_list_are_sentences_and_keep_their_numbers(text: str, expected: list[str]) -> None:
    assert spoken(text) == expected


@pytest.mark.parametrize("language", [None, "en", "xx", "zz-ZZ", ""])
def test_a_language_without_rules_has_those_of_english(language: str | None) -> None:
    assert spoken("Dr. Smith came. He left.", language) == ["Dr. Smith came.", "He left."]


def test_a_region_has_the_rules_of_its_language() -> None:
    assert spoken("Am 3. Juni. Gut.", "de-AT") == ["Am 3. Juni.", "Gut."]


def test_sentences_are_the_whole_text() -> None:
    text = "  \n He left.  (She did not.)\n\n\tThen… \x00 nothing. \n"
    assert "".join(sentences(text, "en")) == text


def test_a_long_line_has_the_sentences_of_a_short_one() -> None:
    """It is segmented part by part: none ends where a part does."""
    short = "One sentence comes first, of Mr. Smith. Another follows after it! "
    assert list(sentences(short * 400, "en")) == [*(list(sentences(short, "en")) * 400)]


@pytest.mark.parametrize("character", ["`", "'", "—", "a", "中"])
def test_no_line_is_segmented_at_once_however_long(character: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The time for it grows with the square of its length: a caller could choose it."""
    lengths: list[int] = []
    original = sentencex.segment

    def segment(language: str, text: str) -> list[str]:
        lengths.append(len(text))
        return list(original(language, text))

    monkeypatch.setattr(sentencex, "segment", segment)
    text = character * 50_000
    assert "".join(sentences(text, "en")) == text
    assert max(lengths) <= 2 * _PIECE_CHARACTERS
