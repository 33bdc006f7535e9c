"""The two things this pilot does, over answers of members: assess one consignment, and add up a heading's year."""

from apps.trade.assessment import Book, Consignment, assess
from apps.trade.audit.evidence import Evidence, Release
from apps.trade.bill import bill_of
from apps.trade.questions import CUSTOMS, DISCLOSURES, customs, disclosures, read_customs, read_disclosures
from apps.trade.rule_packs import all_packs, benchmarks_of, defaults_of, pack_files, pack_for, prices_of
from apps.trade.sources import Answers, Kept
from apps.trade.totals import add_up
from apps.trade.views import AssessmentView, MemberView, TotalsView, assessment_view, totals_view


class Desk:
    """Answers questions about goods. Raises what Answers, the rules and the readers raise."""

    def __init__(self, answers: Answers) -> None:
        self._answers = answers
        for pack in all_packs():
            defaults_of(pack.id)  # a damaged table stops the start, not the first request that needs it
            benchmarks_of(pack.id)
            prices_of(pack.id)
        self._book: tuple[tuple[Kept, ...], Book] | None = None

    async def assess(self, consignment: Consignment) -> AssessmentView:
        """One consignment."""
        kept, book = await self._current_book()
        assessment = assess(consignment, book)
        return assessment_view(
            assessment,
            bill=bill_of(assessment, book, benchmarks_of, prices_of),
            members=tuple(each.answer.member for each in kept),
            grant=kept[0].grant,
            age_s=max(self._answers.age_s(each) for each in kept),
        )

    async def evidence(self, consignment: Consignment) -> Evidence:
        """All that the assessment of one consignment rests on, for its audit bundle."""
        kept, book = await self._current_book()
        return Evidence(
            consignment=consignment,
            files=pack_files(),
            release=Release(grant=kept[0].grant, members_asked=tuple(each.answer.member for each in kept)),
            rows=tuple(book.of_installation(consignment.installation_id or "")),
        )

    async def book(self) -> Book:
        """What is disclosed now; the same object while it is the same."""
        return (await self._current_book())[1]

    async def totals(self, cn_prefix: str, year: int) -> TotalsView:
        """All customs rows whose code begins with `cn_prefix`, in one calendar year."""
        disclosed, book = await self._current_book()
        answered = await self._answers.ask(customs(year))
        groups = {
            each.answer.member: [group for group in read_customs(each.answer) if group.cn_code.startswith(cn_prefix)]
            for each in answered
        }
        pack = pack_for(cn_prefix, year, book.packs)
        customs_views = (
            self._member(each, CUSTOMS, sum(group.rows for group in groups[each.answer.member])) for each in answered
        )
        disclosure_views = (self._member(each, DISCLOSURES, len(each.answer.rows)) for each in disclosed)
        return totals_view(
            cn_prefix,
            year,
            add_up((group for held in groups.values() for group in held), book, year, pack),
            sources=(*customs_views, *disclosure_views),
            pack=pack,
        )

    async def ready(self) -> None:
        """Return once the disclosures can be answered from; raises as `assess`."""
        await self._current_book()

    async def _current_book(self) -> tuple[tuple[Kept, ...], Book]:
        kept = tuple(await self._answers.ask(disclosures()))
        # By identity: a renewed answer is a new object, and comparing its rows would cost as much as reading them.
        if self._book is None or [id(each) for each in self._book[0]] != [id(each) for each in kept]:
            rows = [row for each in kept for row in read_disclosures(each.answer)]
            self._book = (kept, Book(all_packs(), defaults_of, rows))
        return self._book

    def _member(self, kept: Kept, dataset: str, rows: int) -> MemberView:
        age_s = int(self._answers.age_s(kept))
        return MemberView(member=kept.answer.member, dataset=dataset, grant=kept.grant, rows=rows, age_s=age_s)
