"""Label one's own pictures by strokes, with proposals from frozen features: `plainmask label`.

`drawing` and `canvas` turn a `stroke` into labels; `journal` and `project` keep them; `features`,
`linear` and `session` learn from them and propose, `objects` tells objects apart; `app` is the HTTP
of it.
"""
