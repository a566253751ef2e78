"""A mistake of ours while mail is delivered: nobody gets it twice for that, and nobody loses it."""

from delivery.world import ALICE, BOB, World


async def _break(world: World, account: str) -> None:
    """A record that should not be possible: an active script without its text."""
    async with world.app.store.write(account) as tx:
        await tx.put("SieveScript", {"id": "sbad", "name": "bad", "isActive": True})


async def test_who_has_got_a_message_is_not_asked_for_again_because_of_another(world: World) -> None:
    await _break(world, world.bob)
    replies = await world.deliver("Subject: Hello\n\nHi.\n", ALICE, BOB)
    assert [reply.code for reply in replies] == [250, 451]
    assert await world.stored() == ["Inbox"]


async def test_by_smtp_the_sender_is_told_of_whom_we_could_not_deliver_to(world: World) -> None:
    await _break(world, world.bob)
    replies = await world.deliver("Subject: Hello\n\nHi.\n", ALICE, BOB, protocol="ESMTP")
    assert [reply.code for reply in replies] == [250, 250]
    assert await world.outcome() == ["Inbox", "report sender@example.net"]


async def test_a_redirect_that_fits_nowhere_else_leaves_with_the_copy_or_not_at_all(world: World) -> None:
    """Over its quota an account keeps nothing, and so passes nothing on that it was to keep."""
    await world.script('redirect :copy "carol@example.net";')
    async with world.app.store.write(world.alice) as tx:
        (quota,) = await tx.get("Quota", ["octets"])
        await tx.put("Quota", {**quota, "hardLimit": 1})
    replies = await world.deliver()
    assert [reply.code for reply in replies] == [552]
    assert await world.outcome() == []
