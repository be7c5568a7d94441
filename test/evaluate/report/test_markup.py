from evc2.evaluate.report.markup import Html, breakable, html, table_box, tag


def test_text_is_escaped_and_elements_are_not():
    assert html("<a> & \"b\" 'c'") == "&lt;a&gt; &amp; &quot;b&quot; &#x27;c&#x27;"
    assert tag("td", "a < b", tag("b", "<"), None, class_="x", data_value=3) == (
        '<td class="x" data-value="3">a &lt; b<b>&lt;</b></td>'
    )
    assert html(Html("<i>")) == "<i>" and html([Html("<i>"), "<", 3]) == "<i>&lt;3"


def test_attributes():
    assert tag("input", type="checkbox", checked=True, id=None, open=False) == '<input type="checkbox" checked/>'
    assert tag("p", title='"><script>') == '<p title="&quot;&gt;&lt;script&gt;"></p>'


def test_names_break_after_underscores():
    assert breakable("f0_<b>") == "f0_<wbr>&lt;b&gt;"


def test_a_box_can_be_reached_by_keyboard_and_has_a_name():
    box = table_box("a & b", tag("tbody"))
    assert 'tabindex="0"' in box and 'role="region"' in box and 'aria-label="a &amp; b"' in box
