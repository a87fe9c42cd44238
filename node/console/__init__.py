"""The map page: what a person sees who opens a node in a browser.

The idea: one page of plain modules, without build step, framework or internet. It asks the node
it came from, over the public HTTP API and nothing else, so whatever it shows can be had with
curl as well:

- `GET /cluster/status` - members, their areas and replicas, coverage;
- `GET /collections` - what there is to show;
- `GET /collections/{c}/latest?f=json&bbox=…` - the newest record of every sensor in view.

Promises: (1) nothing is loaded from another host, and the content security policy forbids it;
(2) what the page shows last stays on screen when the node stops answering, marked as old;
(3) text that comes from records or nodes is put in as text, never as markup.

Files: `pages` (this package's only Python: assets with type, tag and headers), `static/app.js`
(state and refresh), `api.js` (requests), `map.js` (drawing), `view.js` (projection, pan, zoom),
`outline.js` (cells to outlines), `coastline.js` (land), `scale.js` (values to colours), `panel.js`
(tables and messages). The coastline is described in `data/coastline`.

What it does not do: it changes nothing; records and plans go through the API and the commands.
"""

from node.console.pages import PAGE_PATH, add_console

__all__ = ["PAGE_PATH", "add_console"]
