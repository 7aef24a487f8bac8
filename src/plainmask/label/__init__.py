"""Label one's own pictures by strokes, with proposals from frozen features: `plainmask label`.

`stroke` and `canvas` turn strokes into labels; `journal` and `project` keep them; `features`,
`linear` and `session` learn from them and propose; `app` is the HTTP of it.
"""
