"""The plays come out as printed: only known kinds of paragraph, and no trace of Markdown."""

import re

import pytest

from firsthand.text.corpora import shakespeare
from firsthand.text.plays import printed_play
from firsthand.types import Document

PLAYS = list(shakespeare())
HEADING = re.compile(r"(ACT [IV]+|(SCENE|PROLOGUE|EPILOGUE|INTERMISSION)\b.*)")
DIRECTION = re.compile(r"\[[^\[\]\n]+\]")
SPEAKER = re.compile(r"[A-Z][\w' ,.-]*:")
# what the source gives to nobody: prologues, epilogues and songs
UNSPOKEN = {"henry-iv-part-2": 1, "henry-viii": 2, "measure-for-measure": 1, "the-tempest": 1, "timon-of-athens": 1}


def name(document: Document) -> str:
    return document.name


def test_there_are_38_plays():
    assert len(PLAYS) == 38
    assert len({play.name for play in PLAYS}) == 38
    assert {play.metadata["genre"] for play in PLAYS} == {
        *("tragedies", "histories", "comedies", "problems", "romances", "roman")
    }


@pytest.mark.parametrize("play", PLAYS, ids=name)
class TestEveryPlay:
    def test_no_markup_is_left(self, play):
        text = printed_play(play.text)
        assert not re.search(r"[*_#\\`<>|~$@{}\x00]|\]\(|https?:|&amp;|—|  | \n", text)
        assert all(mark == "&c." for mark in re.findall(r"&..?", text))
        assert text.isascii()

    def test_every_paragraph_is_of_a_known_kind(self, play):
        title, *paragraphs = printed_play(play.text).rstrip("\n").split("\n\n")
        assert title == title.upper()
        assert paragraphs[0] == "ACT I" or HEADING.fullmatch(paragraphs[0])
        others = 0
        for paragraph in paragraphs:
            first, *rest = paragraph.split("\n")
            if not rest and (HEADING.fullmatch(first) or DIRECTION.fullmatch(first)):
                continue
            if SPEAKER.fullmatch(first):
                assert rest, first
            else:
                others += 1
        assert others == UNSPOKEN.get(play.name, 0)

    def test_brackets_are_directions_on_a_line_of_their_own(self, play):
        for line in printed_play(play.text).split("\n"):
            assert ("[" not in line and "]" not in line) or DIRECTION.fullmatch(line), line

    def test_the_spoken_words_are_all_there(self, play):
        def words(text: str) -> list[str]:
            return [w for w in re.findall(r"[a-z]+", text.lower()) if w not in ("and", "others", "amp", "c")]

        title = re.escape(play.text.partition("\n")[0].removeprefix("# ").upper())
        source = re.sub(rf"^{title}$", "", play.text, flags=re.MULTILINE).replace("sha$l", "shall")
        assert words(printed_play(play.text)) == words(source)

    def test_a_printed_play_stays_as_it_is(self, play):
        text = printed_play(play.text)
        assert printed_play(text) == text


def test_how_a_scene_is_printed():
    source = (
        "# Hamlet\n\n## ACT I\n\n### SCENE I. Elsinore. A platform,\nbefore the castle.\n\n"
        "_FRANCISCO at his post. Enter\nto him BERNARDO_\n\n**BERNARDO**  \n_\\[Aside]_  \n"
        "Who's there?  \nSpeak.\n\n_Alarum_\n\nAgain!\n\n"
        "_Exit_\n\n**ROSENCRANTZ: & GUILDENSTERN:**  \nMy lord,'\\--  \n"
    )
    assert printed_play(source) == (
        "HAMLET\n\nACT I\n\nSCENE I. Elsinore. A platform, before the castle.\n\n"
        "[FRANCISCO at his post. Enter to him BERNARDO]\n\n"
        "BERNARDO:\n[Aside]\nWho's there?\nSpeak.\n[Alarum]\nAgain!\n\n[Exit]\n\n"
        "ROSENCRANTZ and GUILDENSTERN:\nMy lord,'--\n"
    )


@pytest.mark.parametrize(
    ("source", "printed"),
    [
        ("And _\\[Censorinus,]_  \nnobly named so,  \n", "And Censorinus, nobly named so,"),
        ("And either _\\[ ]_  \nthe devil, or  \n", "And either the devil, or"),
        ("he'll __\\[ ]_  \nSeem to break  \n", "he'll\nSeem to break"),
        ("**FORD**\n[Aside]_  \nWell.  \n", "FORD:\n[Aside]\nWell."),
        ("*[Drawing his.]*\n", "[Drawing his]"),
        ("_Enter two Clowns, with spades, & c_\n", "[Enter two Clowns, with spades, &c.]"),
        ("_Gloucester 's Serving-\nmen_\n", "[Gloucester's Serving-men]"),
        ("**SHALLOW & PAGE & & C**  \nWell met.\n", "SHALLOW and PAGE and others:\nWell met."),
        ("BISHOP\n\n**OF WINCHESTER**  \nHe was a king.\n", "BISHOP OF WINCHESTER:\nHe was a king."),
        ("Varro's Servant Is't not your business too?\n", "Varro's Servant:\nIs't not your business too?"),
        ("I am invited — nay, with threats,  \n", "I am invited--nay, with threats,"),
        ("_Burthen _\\[dispersedly, within_\n", "[Burthen dispersedly, within]"),
        ("_Enter one,\n\n**BOY**  \nSpeak.\n", "[Enter one,]\n\nBOY:\nSpeak."),
    ],
)
def test_the_slips_of_the_source(source, printed):
    assert printed_play(f"# Play\n\n## ACT I\n\n{source}") == f"PLAY\n\nACT I\n\n{printed}\n"


@pytest.mark.parametrize("text", ["", "plain\n", "#hashtag", "- a list\n- of things\n"])
def test_other_text_is_left_alone(text):
    assert printed_play(text) == text
