"""`judged_template`: a folder's chat template, once every template in the folder has been found harmless."""

from berth_store.detect import config
from berth_store.detect.folder import ModelFolder
from berth_store.detect.wish import Wish


def judged_template(folder: ModelFolder, wish: Wish) -> str | None:
    """The template for chats that lies in the folder, if one does."""
    return wish.template(config.chat_template(folder), str(folder.root), others=config.other_templates(folder))
