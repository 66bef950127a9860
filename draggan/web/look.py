"""How the page looks: fonts, colours, and the styles of what is not the canvas."""

from pathlib import Path

from gradio import themes

FONTS = ("system-ui", "-apple-system", "Segoe UI", "Roboto", "sans-serif")  # nothing is fetched from outside
CSS = Path(__file__).parent / "page.css"


def theme() -> themes.Base:
    """Gradio's soft theme with darker colours: every text has a contrast of at least 4.5 to what is behind it."""
    soft = themes.Soft(font=FONTS, font_mono=("ui-monospace", "monospace"))
    return soft.set(
        background_fill_primary="*neutral_50",  # as it is: `set` forgets it
        body_text_color_subdued="*neutral_600",
        block_label_text_color="*primary_700",
        block_title_text_color="*primary_700",
        slider_color="*primary_600",
        checkbox_label_background_fill_selected="*primary_600",
        checkbox_background_color_selected="*primary_700",
        checkbox_border_color="*neutral_500",
        checkbox_border_color_selected="*primary_700",
        button_primary_background_fill="*primary_600",
        button_primary_background_fill_hover="*primary_700",
        button_primary_background_fill_hover_dark="*primary_700",
        button_secondary_background_fill_hover_dark="*primary_600",
    )
