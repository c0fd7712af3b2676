// Tensors of torch as arrays of the core: one of another type, device, number of axes, order in memory or shape than a
// function asks for is refused here. Knows Python and where torch's numbers lie; computes nothing.
#pragma once

#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/vector.h>

#include <array>
#include <optional>
#include <stdexcept>
#include <string>

namespace bilstm {

namespace nb = nanobind;

// What must be adjacent in memory: all numbers, or only those of a step in (B, T, width).
enum class Order { packed, steps };

template <class T, size_t AXES, Order ORDER = Order::packed>
struct Array {
    T* data;
    std::array<int64_t, AXES> shape, strides;  // strides in numbers
};

template <class T, size_t AXES, Order ORDER = Order::packed>
using Maybe = std::optional<Array<T, AXES, ORDER>>;

struct Exchange {  // DLPackExchangeAPI, version 1 (dlpack.h)
    uint32_t major, minor;
    const Exchange* older;
    void *allocate, *to_managed, *from_managed;
    int (*describe)(void* object, nb::dlpack::dltensor* out);
    void* stream;
};

struct Torch {  // torch.Tensor, and how to ask one where its numbers lie
    PyTypeObject* tensor;
    const Exchange* exchange = nullptr;  // since torch 2.10; some 90 ns a tensor, its checks included
    PyObject* to_dlpack;                 // before; some 250 ns more

    Torch() {
        const nb::object type = nb::module_::import_("torch").attr("Tensor");
        const nb::object api = nb::getattr(type, "__dlpack_c_exchange_api__", nb::none());
        if (PyCapsule_IsValid(api.ptr(), "dlpack_exchange_api"))
            exchange = static_cast<const Exchange*>(PyCapsule_GetPointer(api.ptr(), "dlpack_exchange_api"));
        if (exchange && (exchange->major != 1 || !exchange->describe)) exchange = nullptr;
        to_dlpack = nb::object(nb::module_::import_("torch.utils.dlpack").attr("to_dlpack")).release().ptr();
        tensor = reinterpret_cast<PyTypeObject*>(nb::object(type).release().ptr());
    }

    static const Torch& get() {
        static const Torch torch;
        return torch;
    }
};

// A tensor as DLPack describes it; not valid for what is no tensor.
struct View {
    bool valid = false;
    nb::dlpack::dltensor tensor;
    nb::object capsule;

    explicit View(nb::handle object) {
        const Torch& torch = Torch::get();
        if (!PyObject_TypeCheck(object.ptr(), torch.tensor)) return;
        if (torch.exchange) {
            valid = torch.exchange->describe(object.ptr(), &tensor) == 0;
        } else if ((capsule = nb::steal(PyObject_CallFunctionObjArgs(torch.to_dlpack, object.ptr(), nullptr)))) {
            tensor = *static_cast<nb::dlpack::dltensor*>(PyCapsule_GetPointer(capsule.ptr(), "dltensor"));
            valid = true;
        }
        if (!valid) PyErr_Clear();
    }

    template <class T, size_t AXES, Order ORDER>
    bool as(Array<T, AXES, ORDER>& array) const {
        if (!valid || tensor.dtype != nb::dtype<std::remove_const_t<T>>() || tensor.ndim != int(AXES) ||
            tensor.device.device_type != nb::device::cpu::value)
            return false;
        array.data = reinterpret_cast<T*>(static_cast<char*>(tensor.data) + tensor.byte_offset);
        bool adjacent = true, empty = false;
        int64_t within = 1;
        for (size_t axis = AXES; axis-- > 0;) {
            const int64_t size = tensor.shape[axis], stride = tensor.strides ? tensor.strides[axis] : within;
            array.shape[axis] = size;
            array.strides[axis] = stride;
            if (ORDER == Order::packed || axis == AXES - 1) adjacent &= size < 2 || stride == within;
            empty |= size == 0;
            within *= size;
        }
        return adjacent || empty;
    }
};

// The numbers of an array that must have this shape.
template <class T, size_t AXES, Order ORDER>
T* numbers(const char* name, const Array<T, AXES, ORDER>& array, const std::array<int64_t, AXES>& shape) {
    if (array.shape == shape) return array.data;
    std::string sizes;
    for (const int64_t size : shape) sizes += (sizes.empty() ? "" : ", ") + std::to_string(size);
    throw std::invalid_argument(std::string(name) + " must have the shape (" + sizes + ").");
}

// Null where there is none.
template <class T, size_t AXES, Order ORDER>
T* numbers(const char* name, const Maybe<T, AXES, ORDER>& array, const std::array<int64_t, AXES>& shape) {
    return array ? numbers(name, *array, shape) : nullptr;
}

}  // namespace bilstm

namespace nanobind::detail {

template <class T, size_t AXES, bilstm::Order ORDER>
struct type_caster<bilstm::Array<T, AXES, ORDER>> {
    using Plain = std::remove_const_t<T>;
    using Taken = bilstm::Array<T, AXES, ORDER>;
    NB_TYPE_CASTER(Taken, const_name("torch.Tensor[") + dtype_traits<Plain>::name + const_name(", ") +
                              const_name<AXES>() + const_name(" axes]"))

    bool from_python(handle object, uint8_t, cleanup_list*) { return bilstm::View(object).as(value); }
};

}  // namespace nanobind::detail
